# SPDX-License-Identifier: Apache-2.0
# Draws the charts of the results page as SVG, for light and for dark pages: bars beside each other, and lines that grow.

from html import escape
from math import floor, log, log10

WIDTH, LABELS, VALUES, BAR, STEP, TOP = 760, 208, 118, 18, 28, 58
PLOT = WIDTH - LABELS - VALUES
STYLE = """
  text { font: 13px system-ui, "DejaVu Sans", sans-serif; fill: #1f2328 }
  .title { font-size: 15px; font-weight: 600 } .small { font-size: 12px; fill: #59636e }
  .strong { font-weight: 600 } .grid { stroke: #d1d9e0 } .mark { stroke: #59636e; stroke-dasharray: 4 3 }
  .ours { fill: #0a7d68; stroke: #0a7d68 } .c { fill: #6e7781; stroke: #6e7781 } .peer { fill: #8fb3d9; stroke: #8fb3d9 }
  .whisker { stroke: #1f2328 } .line { fill: none; stroke-width: 2.5 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .small { fill: #9198a1 } .grid { stroke: #3d444d } .mark { stroke: #9198a1 }
    .ours { fill: #2cc9a5; stroke: #2cc9a5 } .c { fill: #9198a1; stroke: #9198a1 } .peer { fill: #4a78a8; stroke: #4a78a8 }
    .whisker { stroke: #e6edf3 }
  }
"""


class Drawing:
  def __init__(self, title, note, height):
    self.height = height
    self.parts = []
    self.text(0, 18, title, "title")
    self.text(0, 37, note, "small")
    self.title = title

  def text(self, x, y, text, kind="", anchor="start"):
    self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(text)}</text>')

  def line(self, x1, y1, x2, y2, kind):
    self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>')

  def bar(self, x, y, width, kind):
    self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 1):.1f}" height="{BAR}" rx="2" class="{kind}"/>')

  def svg(self):
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self.height}" width="{WIDTH}" '
            f'height="{self.height}" role="img"><title>{escape(self.title)}</title><style>{STYLE}</style>')
    return "\n".join([head, *self.parts, "</svg>", ""])


def kind_of(name):
  return {"epoll": "c", "uv_poll": "c", "uv_tcp": "c"}.get(name, "ours" if name.startswith(("culvert", "chunk")) else "peer")


def round_step(most, steps=5):
  """A step of 1, 2 or 5 times a power of ten, of which about so many reach `most`."""
  power = 10 ** floor(log10(most / steps))
  return next(power * factor for factor in (1, 2, 5, 10) if power * factor * steps >= most)


def bars(title, note, rows, reference=None):
  """rows: (short name, label, value, text[, low, high]); a dashed line at the value of the row named `reference`."""
  drawing = Drawing(title, note, TOP + STEP * len(rows) + 24)
  most = max(row[5] if len(row) > 4 else row[2] for row in rows)
  scale = PLOT / most
  bottom = TOP + STEP * len(rows)
  mark = next((row[2] for row in rows if row[0] == reference), 0)
  step = round_step(most)
  for index in range(int(most / step) + 1):
    x = LABELS + index * step * scale
    drawing.line(x, TOP - 6, x, bottom, "grid")
    drawing.text(x, bottom + 16, f"{index * step:,.10g}", "small", "middle")
  for index, (name, label, value, text, *ends) in enumerate(rows):
    y = TOP + STEP * index
    ends = ends or [value]
    drawing.text(LABELS - 10, y + BAR - 4, label, "strong" if kind_of(name) == "ours" else "", "end")
    drawing.bar(LABELS, y, value * scale, kind_of(name))
    if len(ends) > 1:
      drawing.line(LABELS + ends[0] * scale, y + BAR / 2, LABELS + ends[1] * scale, y + BAR / 2, "whisker")
    end = max(value, *ends)
    if end < mark < end + 60 / scale:
      end = mark  # the dashed line does not cross what is written
    drawing.text(LABELS + end * scale + 8, y + BAR - 4, text, "small")
  if mark:
    drawing.line(LABELS + mark * scale, TOP - 6, LABELS + mark * scale, bottom, "mark")
  return drawing.svg()


def growth(title, note, ticks, rows):
  """rows: (short name, label, values), a value for each of `ticks`, None where there is none; logarithmic upwards."""
  drawing = Drawing(title, note, 400)
  left, right, top, bottom = 44, WIDTH - 190, TOP, 364
  found = [value for _, _, values in rows for value in values if value]
  low, high = min(found) * 0.9, max(found) * 1.1
  across = [left + 30 + (right - left - 60) * index / (len(ticks) - 1) for index in range(len(ticks))]
  up = lambda value: bottom - (bottom - top) * log(value / low) / log(high / low)
  for value in (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500):
    if low <= value <= high:
      drawing.line(left, up(value), right, up(value), "grid")
      drawing.text(left - 8, up(value) + 4, str(value), "small", "end")
  for x, tick in zip(across, ticks):
    drawing.text(x, bottom + 20, tick, "small", "middle")
  ends = []
  for name, label, values in rows:
    points = [(x, up(value)) for x, value in zip(across, values) if value]
    drawing.parts.append('<polyline class="line {0}" style="fill:none" points="{1}"/>'.format(
      kind_of(name), " ".join(f"{x:.1f},{y:.1f}" for x, y in points)))
    drawing.parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" class="{kind_of(name)}"/>' for x, y in points]
    ends.append([points[-1][1], points[-1][0], name, label])
  place = -100.0
  for y, x, name, label in sorted(ends):
    place = max(y + 4, place + 16)  # labels make room for each other
    drawing.line(x + 5, y, x + 20, place - 4, "grid")
    drawing.text(x + 24, place, label, "strong" if kind_of(name) == "ours" else "")
  return drawing.svg()
