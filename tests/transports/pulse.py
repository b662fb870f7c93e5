"""A PulseAudio server of its own for a test, with null sinks instead of a sound card; PortAudio reaches it through ALSA's plugin."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ALSA = "pcm.!default { type pulse }\nctl.!default { type pulse }\npcm.pulse { type pulse }\n"
SINKS = (
    "load-module module-native-protocol-unix auth-anonymous=1 socket={socket}\n"
    "load-module module-null-sink sink_name=loudspeaker rate=48000 channels=1\n"
    "load-module module-null-sink sink_name=mouth rate=48000 channels=1\n"
    "set-default-sink loudspeaker\n"
    "set-default-source mouth.monitor\n"
)


class Pulse:
    """What is played to `mouth` is what the microphone hears; what the agent says can be taken from `loudspeaker`."""

    def __init__(self, environ: dict[str, str]) -> None:
        self.environ = environ

    def say(self, path: Path) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(["paplay", "--device=mouth", str(path)], env=self.environ)

    def couple(self, volume: str) -> None:
        """Let the microphone hear the loudspeaker, as in a room, so loud ("60%")."""
        for command in (
            ["load-module", "module-loopback", "source=loudspeaker.monitor", "sink=mouth", "latency_msec=40"],
            ["set-sink-input-volume", "0", volume],
        ):
            subprocess.run(["pactl", *command], env=self.environ, check=True, capture_output=True)

    def hears(self, device: str) -> "subprocess.Popen[bytes]":
        """What is played to a sink, as it comes: PCM16 at 48 kHz, one channel, on its standard output."""
        command = ["parec", f"--device={device}.monitor", "--raw", "--rate=48000", "--channels=1", "--format=s16le"]
        return subprocess.Popen([*command, "--latency-msec=20"], env=self.environ, stdout=subprocess.PIPE)

    def record(self, path: Path) -> "subprocess.Popen[bytes]":
        """Until it is terminated: PCM16 at 48 kHz, one channel."""
        return subprocess.Popen(
            [
                "parec",
                "--device=loudspeaker.monitor",
                "--raw",
                "--rate=48000",
                "--channels=1",
                "--format=s16le",
                str(path),
            ],
            env=self.environ,
        )


@contextmanager
def pulse(folder: Path) -> Iterator[Pulse]:
    """Skips, with the reason, where PulseAudio cannot be had."""
    missing = [name for name in ("pulseaudio", "pactl", "paplay", "parec") if shutil.which(name) is None]
    if missing:
        pytest.skip(
            f"{', '.join(missing)} not installed; on Debian: apt-get install pulseaudio pulseaudio-utils libportaudio2"
        )
    socket = folder / "native"
    script, alsa = folder / "default.pa", folder / "asound.conf"
    script.write_text(SINKS.format(socket=socket))
    alsa.write_text("</usr/share/alsa/alsa.conf>\n" + ALSA)
    environ = {
        **os.environ,
        "XDG_RUNTIME_DIR": str(folder),
        "HOME": str(folder),
        "PULSE_SERVER": f"unix:{socket}",
        "ALSA_CONFIG_PATH": str(alsa),
    }
    command = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--disable-shm=true", f"--file={script}"]
    server = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        # pactl waits for a server that is starting, and gives up after a while.
        if not any(
            subprocess.run(["pactl", "info"], env=environ, capture_output=True).returncode == 0 for _ in range(100)
        ):
            pytest.skip("PulseAudio does not start here")
        yield Pulse(environ)
    finally:
        server.terminate()
        server.wait()
