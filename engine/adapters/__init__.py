"""Providers behind one shape. Each file translates one service into facts, and decides nothing."""
