# SPDX-License-Identifier: MIT
"""Throughput per interface over time: sampled from the kernel's counters, drawn with gnuplot."""
import os
import subprocess
import threading
import time

INTERVAL = 0.1


class Sampler:
    """Octets received on interfaces of a namespace, every 100 ms while the `with` block runs: rows of (seconds, [Mbit/s of each]).
    `interfaces` maps their names to what a plot calls them."""

    def __init__(self, ns, interfaces):
        self.interfaces, self.rows, self.first, self.last = interfaces, [], None, None
        with ns:
            self._file = open("/proc/thread-self/net/dev")  # stays that namespace's
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _read(self):
        self._file.seek(0)
        found = {}
        for line in self._file.readlines()[2:]:
            name, _, rest = line.partition(":")
            found[name.strip()] = int(rest.split()[0])
        return time.monotonic(), [found[i] for i in self.interfaces]

    def _run(self):
        then, before = self.begin, self.first
        while not self._end.wait(INTERVAL):
            now, octets = self._read()
            self.rows.append((now - self.begin, [(b - a) * 8 / (now - then) / 1e6 for a, b in zip(before, octets)]))
            then, before = now, octets

    def __enter__(self):
        self.begin, self.first = self._read()
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()
        self.last = self._read()[1]
        self._file.close()

    def octets(self):
        """By interface, of the whole block."""
        return [b - a for a, b in zip(self.first, self.last)]


COLOURS = ("#2b6cb0", "#ed8936", "#38a169")


def draw(folder, name, title, panels, ceiling):
    """FOLDER/NAME.png and .svg; panels: [(title, Sampler, [(from, to, label)])]; ceiling: Mbit/s of the axis. Returns the paths."""
    os.makedirs(folder, exist_ok=True)
    seconds = max(s.rows[-1][0] for _, s, _ in panels)
    script = [f"set multiplot layout {len(panels)},1 title '{title}' font ',15' margins 0.08,0.97,0.09,0.90 spacing 0.02,0.075",
              f"set xrange [0:{seconds:.1f}]", f"set yrange [0:{ceiling}]", "set ytics 10", "set grid ytics lc '#dddddd'",
              "set border 3 lc '#888888'", "set tics nomirror", "set style fill solid 0.85 noborder",
              "set key at graph 1,1.22 right horizontal font ',13' samplen 2",
              "set ylabel 'Mbit/s'"]
    for index, (label, sampler, marks) in enumerate(panels):
        script += [f"$data{index} << END"]
        for at, rates in sampler.rows:
            for edge in (max(0, at - INTERVAL), at):  # as steps: what was measured is the mean of an interval
                below, row = 0.0, [f"{edge:.3f}"]
                for rate in rates:
                    row += [f"{below:.3f}", f"{below + rate:.3f}"]
                    below += rate
                script.append(" ".join(row))
        script.append("END")
        script += [f"set title '{label}' offset 0,-0.7", f"set xlabel '{'seconds' if index == len(panels) - 1 else ''}'", "unset object",
                   "unset label"]
        for i, (begin, end, text) in enumerate(marks, 1):
            script += [f"set object {i} rectangle from {begin:.2f},0 to {end:.2f},{ceiling} fc '#e53e3e' "
                       "fs transparent solid 0.13 noborder behind",
                       f"set label {i} '{text}' at {(begin + end) / 2:.2f},{ceiling * 0.93:.2f} center tc '#c53030'"]
        script += ["plot " + ", ".join(
            f"$data{index} using 1:{2 + 2 * i}:{3 + 2 * i} with filledcurves lc '{COLOURS[i]}' " + ("notitle" if index else f"title '{n}'")
            for i, n in enumerate(sampler.interfaces.values()))]
    script.append("unset multiplot")
    made = []
    for suffix, terminal in (("png", "pngcairo size 1100,820 font 'sans,12' background '#ffffff'"),
                             ("svg", "svg size 1100,820 font 'sans,14' background '#ffffff'")):
        path = os.path.join(folder, f"{name}.{suffix}")
        text = "\n".join([f"set terminal {terminal}", f"set output '{path}'", *script])
        subprocess.run(["gnuplot"], input=text, text=True, check=True)
        made.append(path)
    return made
