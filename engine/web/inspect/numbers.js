// Numbers as they are written on the page. One formatter each: to make one costs a hundred times what it costs to use it.

const rounded = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat("en", { maximumFractionDigits: 3 });
const exact = new Intl.NumberFormat("en", { maximumFractionDigits: 6 });

export const whole = (number) => rounded.format(number);

// Nanoseconds as milliseconds: rounded, to the microsecond, or with every digit they have.
export const ms = (ns) => rounded.format(ns / 1e6);
export const fineMs = (ns) => `${fine.format(ns / 1e6)} ms`;
export const exactMs = (ns) => `${exact.format(ns / 1e6)} ms`;
