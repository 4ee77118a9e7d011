"""Where a figure's boxes and arrows are: rows of what comes one after the other, branches side by side.

A graph between a source and a sink is taken apart at the boxes that every path goes through; what lies between two of
them falls into branches, which are taken apart likewise. What cannot be is laid out in layers.
"""

import dataclasses
import itertools

from keras_blocks.look.boxes import TIMES, Box

GAP, BESIDE, LANE, FAN, RADIUS, STACKED, WIDEST = 24, 18, 26, 30, 13, 6, 150
LINE = {"title": 17, "details": 14, "shape": 14}
SIZES = {"title": 13, "details": 11, "shape": 11}
SOURCE, SINK = 0, 1
"""What is above and below of boxes in layers, which go by their ids."""

WIDE = 0.58
"""Width of a letter over its size, of the fonts that browsers have for a page without one."""


@dataclasses.dataclass(frozen=True)
class Item:
    """A rectangle, circle, line or text: what a canvas draws. `points` are corners, ends or bends."""

    kind: str
    points: tuple[tuple[float, float], ...]
    style: str
    text: str = ""
    size: float = 0


class Piece:
    """A part of a figure: so much left and right of its axis, and so high. Arrows come and go along the axis."""

    left = right = height = 0.0
    fans = False
    """Whether arrows to it and from it fan out, and it draws them."""

    half = 0.0
    """How far from the axis arrows may meet it."""

    def place(self, x: float, y: float, halves: tuple[float, float] = (0, 0)) -> list[Item]:
        """Its items, its axis at `x`, its top at `y`; `halves` of what is above and below."""
        raise NotImplementedError


class BoxPiece(Piece):
    def __init__(self, box: Box, shapes: bool):
        self.box = box
        self.texts = [("title", box.title)]
        self.texts += [(kind, text) for kind, text in (("details", box.details),) if text]
        self.texts += [("shape", box.shape)] if shapes and box.shape else []
        if box.sign is not None:
            self.left, self.height = RADIUS, 2 * RADIUS
            label = box.shape if shapes else ""
            self.right = RADIUS + (6 + written(label, SIZES["shape"]) if label else 0)
            return
        width = max(written(text, SIZES[kind]) for kind, text in self.texts) + 22
        self.half = self.left = self.right = width / 2
        self.right += 30 if box.count > 1 else 0
        self.height = sum(LINE[kind] for kind, _ in self.texts) + 10
        self.height += STACKED if box.count > 1 else 0

    def place(self, x: float, y: float, halves: tuple[float, float] = (0, 0)) -> list[Item]:
        if self.box.sign is not None:
            return self._circle(x, y + RADIUS)
        low = y + self.height - (STACKED if self.box.count > 1 else 0)
        items, corners = [], ((x - self.half, y), (x + self.half, low))
        for shift in (STACKED, STACKED / 2) if self.box.count > 1 else ():
            moved = tuple((px + shift, py + shift) for px, py in corners)
            items.append(Item("rect", moved, self.box.kind))
        items.append(Item("rect", corners, self.box.kind))
        base = y + 5
        for kind, text in self.texts:
            base += LINE[kind]
            items.append(Item("text", ((x, base - 4),), kind, text, SIZES[kind]))
        if self.box.count > 1:
            place = ((x + self.half + 22, (y + low) / 2 + 6),)
            items.append(Item("text", place, "count", f"{TIMES}{self.box.count}", 13))
        return items

    def widen(self, half: float) -> None:
        """Makes room for the arrows of many branches."""
        if self.box.sign is None and self.box.kind == "merge":
            self.half = self.left = self.right = max(self.half, min(half, WIDEST))

    def _circle(self, x: float, y: float) -> list[Item]:
        r = RADIUS * (0.45 if self.box.sign == "+" else 0.36)
        ends = ((-r, 0, r, 0), (0, -r, 0, r)) if self.box.sign == "+" else ((-r, -r, r, r), (-r, r, r, -r))
        items = [Item("circle", ((x, y), (RADIUS, 0)), "merge")]
        items += [Item("line", ((x + a, y + b), (x + c, y + d)), "sign") for a, b, c, d in ends]
        if len(self.texts) > 1:
            text = self.texts[-1][1]
            items.append(Item("text", ((x + RADIUS + 6, y + 4),), "shape-left", text, SIZES["shape"]))
        return items


class Frame(Piece):
    """A block that was opened: what is in it, with its name above."""

    def __init__(self, box: Box, inner: Piece):
        self.box, self.inner = box, inner
        self.text = box.title + (f"  {TIMES}{box.count}" if box.count > 1 else "")
        more = box.details
        self.text += f"  ({more})" if more else ""
        pad = 14
        self.left, self.right = inner.left + pad, inner.right + pad
        missing = written(self.text, SIZES["details"]) + 24 - self.left - self.right
        self.right += max(0, missing)
        self.height = inner.height + 26 + (0 if inner.fans else 8) + 12

    def place(self, x: float, y: float, halves: tuple[float, float] = (0, 0)) -> list[Item]:
        top = y + 26 + (0 if self.inner.fans else 8)
        bottom = top + self.inner.height
        items = [Item("rect", ((x - self.left, y), (x + self.right, y + self.height)), "frame")]
        items.append(Item("text", ((x - self.left + 10, y + 16),), "frame-title", self.text, SIZES["details"]))
        items.append(Item("line" if self.inner.fans else "arrow", ((x, y + 20), (x, top)), "edge"))
        items.append(Item("line", ((x, bottom), (x, y + self.height)), "edge"))
        return items + self.inner.place(x, top)


class Row(Piece):
    """Pieces one below the other."""

    def __init__(self, pieces: list[Piece]):
        self.pieces = pieces
        for above, below in itertools.pairwise(pieces):
            if isinstance(above, Branches) and isinstance(below, BoxPiece):
                below.widen(0.8 * min(above.left, above.right))
        self.left, self.right = max(p.left for p in pieces), max(p.right for p in pieces)
        self.gaps = [0 if a.fans or b.fans else GAP for a, b in itertools.pairwise(pieces)]
        self.height = sum(p.height for p in pieces) + sum(self.gaps)
        self.fans = pieces[0].fans

    def place(self, x: float, y: float, halves: tuple[float, float] = (0, 0)) -> list[Item]:
        items: list[Item] = []
        for i, piece in enumerate(self.pieces):
            above = self.pieces[i - 1].half if i else halves[0]
            below = self.pieces[i + 1].half if i + 1 < len(self.pieces) else halves[1]
            items += piece.place(x, y, (above, below))
            y += piece.height
            if i < len(self.gaps) and self.gaps[i]:
                items.append(Item("arrow", ((x, y), (x, y + GAP)), "edge"))
                y += GAP
        return items


class Branches(Piece):
    """Pieces side by side between two points; `None` is an arrow that goes by."""

    fans = True

    def __init__(self, branches: list[Piece | None]):
        self.branches = branches
        extents = [(LANE / 2, LANE / 2) if b is None else (b.left, b.right) for b in branches]
        at, axes = 0.0, []
        for left, right in extents:
            axes.append(at + left)
            at += left + right + BESIDE
        width = at - BESIDE
        real = [axis for axis, branch in zip(axes, branches) if branch is not None]
        middle = real[0] if len(real) == 1 else width / 2
        self.axes = [axis - middle for axis in axes]
        self.left, self.right = middle, width - middle
        self.fan = max(FAN, min(46.0, 0.07 * width))
        self.inner = max((b.height for b in branches if b is not None), default=0.0)
        self.height = self.inner + 2 * self.fan

    def place(self, x: float, y: float, halves: tuple[float, float] = (0, 0)) -> list[Item]:
        items: list[Item] = []
        bottom = y + self.height
        for axis, branch in zip(self.axes, self.branches):
            at = x + axis
            leaves, meets = (x + max(-half, min(half, axis)) for half in (_inset(halves[0]), _inset(halves[1])))
            height = 0.0 if branch is None else branch.height
            start = bottom - self.fan - height  # the last of each branch are beside each other, as papers draw them
            way = _bend((leaves, y), (at, y + self.fan))
            if branch is None:
                way += ((at, bottom - self.fan), *_bend((at, bottom - self.fan), (meets, bottom))[1:])
                items.append(Item("arrow", way, "edge"))
                continue
            items.append(Item("line" if branch.fans else "arrow", (*way, (at, start)), "edge"))
            items += branch.place(at, start)
            items.append(Item("arrow", _bend((at, bottom - self.fan), (meets, bottom)), "edge"))
        return items


class Lane(Piece):
    """Room in a row for the arrows of a box above to boxes below."""

    left = right = LANE / 2


class Layers(Piece):
    """Boxes in rows by how far they are from the source, where branches cross; arrows pass a row in lanes.

    `alone` is set where nothing is above and below: a whole figure of several inputs or outputs.
    """

    fans = True

    def __init__(self, pieces: dict[int, Piece], boxes: list[Box], sink_of: set[int]):
        self.boxes, self.sink_of, self.alone = boxes, sink_of, False
        self.entries = {id(b) for b in boxes if any(id(a) not in pieces for a in b.before) or not b.before}
        self.pieces = pieces
        self._arrange()

    def stand_alone(self) -> None:
        self.alone = True
        self._arrange()

    def _arrange(self) -> None:
        rank: dict[int, int] = {}
        for box in self.boxes:
            rank[id(box)] = max((rank[id(b)] + 1 for b in box.before if id(b) in rank), default=0)
        self.rows: list[list[int]] = [[] for _ in range(max(rank.values()) + 1)]
        for box in self.boxes:
            self.rows[rank[id(box)]].append(id(box))
        self.pieces = {id(box): self.pieces[id(box)] for box in self.boxes} | {SOURCE: Piece()}
        self.ways: dict[tuple[int, int], list[int]] = {}
        """Of an arrow from a box to another what it comes from, and then the lanes that it takes."""
        self.above: dict[int, list[int]] = {id(box): [] for box in self.boxes}
        self.lanes: dict[tuple[int, int], int] = {}
        for box in self.boxes:
            for before in (before for before in box.before if id(before) in rank):
                self._lead(id(before), id(box), range(rank[id(before)] + 1, rank[id(box)]))
            if not self.alone and id(box) in self.entries:
                self._lead(SOURCE, id(box), range(rank[id(box)]))
        for box in self.boxes:
            if not self.alone and id(box) in self.sink_of:
                self._lead(id(box), SINK, range(rank[id(box)] + 1, len(self.rows)))
        self.at: dict[int, tuple[float, float]] = {}
        y = float(FAN)
        for row in self.rows:
            self._in_a_row(row, y)
            height = max(self.pieces[key].height for key in row)
            for lane in (piece for key in row if isinstance(piece := self.pieces[key], Lane)):
                lane.height = height
            y += height + 2 * GAP
        self.height = y - 2 * GAP + FAN
        low = min(x - self.pieces[key].left for key, (x, _) in self.at.items())
        high = max(x + self.pieces[key].right for key, (x, _) in self.at.items())
        self.at = {key: (x - (low + high) / 2, y) for key, (x, y) in self.at.items()}
        self.at |= {SOURCE: (0.0, 0.0), SINK: (0.0, self.height)}
        self.left = self.right = (high - low) / 2

    def _lead(self, start: int, end: int, rows: range) -> None:
        """Takes the lanes of an arrow through rows; those of one start are one lane."""
        way = [start]
        for row in rows:
            if (start, row) not in self.lanes:
                lane = Lane()
                self.lanes[start, row] = id(lane)
                self.pieces[id(lane)], self.above[id(lane)] = lane, [key for key in way[-1:] if key != SOURCE]
                self.rows[row].append(id(lane))
            way.append(self.lanes[start, row])
        self.ways[start, end] = way
        if end != SINK and way[-1] != SOURCE:
            self.above[end].append(way[-1])

    def _in_a_row(self, row: list[int], y: float) -> None:
        """Each below what leads to it, as far as there is room."""
        sources = {key: [self.at[above][0] for above in self.above[key]] for key in row}
        wished = {key: sum(xs) / len(xs) for key, xs in sources.items() if xs}
        end = None
        for key in sorted(row, key=lambda key: wished.get(key, 0)):
            piece = self.pieces[key]
            x = wished.get(key, 0.0 if end is None else end + BESIDE + piece.left)
            x = x if end is None else max(x, end + BESIDE + piece.left)
            self.at[key] = (x, y)
            end = x + piece.right

    def _way(self, start: int, end: int) -> tuple[tuple[float, float], ...]:
        """The points of an arrow from a box to another."""
        keys = self.ways[start, end]
        x, y = self.at[start]
        points: tuple[tuple[float, float], ...] = ((x, y + self.pieces[start].height),)
        for key in (*keys[1:], end):
            x, y = self.at[key]
            points += _bend(points[-1], (x, y))[1:]
            if key != end:
                points += ((x, y + self.pieces[key].height),)
        return points

    def place(self, x: float, y: float, halves: tuple[float, float] = (0, 0)) -> list[Item]:
        edges, items = [], []
        for start, end in self.ways:
            way = self._way(start, end)
            edges.append(Item("arrow", tuple((x + px, y + py) for px, py in way), "edge"))
        for box in self.boxes:
            bx, by = self.at[id(box)]
            items += self.pieces[id(box)].place(x + bx, y + by)
        return edges + items


def arranged(boxes: list[Box], ends: list[Box], shapes: bool, drop: bool = False) -> Piece:
    """The layout of a figure's boxes, which are in the order of the forward pass; `drop` leaves out its inputs."""
    if drop:
        boxes = [box for box in boxes if box.kind != "input"]
    pieces: dict[int, Piece] = {}
    for box in boxes:
        if box.inside:
            pieces[id(box)] = Frame(box, arranged(box.inside, box.last_inside, shapes, drop=True))
        else:
            pieces[id(box)] = BoxPiece(box, shapes)
    if not boxes:
        return Branches([None])
    used = {id(before) for box in boxes for before in box.before}
    to_sink = {id(box) for box in boxes if id(box) not in used} | {id(end) for end in ends if id(end) in pieces}
    return _between(boxes, pieces, to_sink, direct=False)


def written(text: str, size: float) -> float:
    """About the width of a text."""
    return len(text) * size * WIDE


def _between(boxes: list[Box], pieces: dict[int, Piece], to_sink: set[int], direct: bool) -> Piece:
    """The layout of what lies between a source and a sink. What is not among `boxes` is the source."""
    place = {id(box): i for i, box in enumerate(boxes)}
    jumps = [0] * (len(boxes) + 1)  # how many arrows pass over each box

    def passes(start: int, end: int) -> None:
        if end - start > 1:
            jumps[start + 1] += 1
            jumps[end] -= 1

    for i, box in enumerate(boxes):
        for start in [place.get(id(before), -1) for before in box.before] or [-1]:
            passes(start, i)
        if id(box) in to_sink:
            passes(i, len(boxes))
    over, cuts = 0, []
    for i in range(len(boxes)):
        over += jumps[i]
        if not over and not direct:
            cuts.append(i)
    if not cuts:
        return _side_by_side(boxes, pieces, to_sink, direct)
    row: list[Piece] = []
    start = -1
    for cut in (*cuts, len(boxes)):
        between = boxes[start + 1 : cut]
        if between:
            source = boxes[start] if start >= 0 else None
            sink = boxes[cut] if cut < len(boxes) else None
            inside = {id(box) for box in between}
            if sink is None:
                ends = to_sink & inside
                skips = source is not None and id(source) in to_sink
            else:
                ends = {id(before) for before in sink.before} & inside
                skips = any(id(before) not in inside for before in sink.before) or not sink.before
            row.append(_side_by_side(between, pieces, ends, skips))
        if cut < len(boxes):
            row.append(pieces[id(boxes[cut])])
        start = cut
    return row[0] if len(row) == 1 else Row(row)


def _side_by_side(boxes: list[Box], pieces: dict[int, Piece], to_sink: set[int], direct: bool) -> Piece:
    groups = _connected(boxes)
    if len(groups) == 1 and not direct:
        inner = {id(box): pieces[id(box)] for box in boxes}
        return Layers(inner, boxes, to_sink)
    branches: list[Piece | None] = [_between(group, pieces, to_sink, direct=False) for group in groups]
    return Branches([*branches, None] if direct else branches)


def _connected(boxes: list[Box]) -> list[list[Box]]:
    """Boxes in groups between which there are no arrows, each in the order given."""
    group = {id(box): i for i, box in enumerate(boxes)}
    for box in boxes:
        for before in box.before:
            if id(before) in group and group[id(before)] != group[id(box)]:
                old, new = group[id(box)], group[id(before)]
                group = {key: new if value == old else value for key, value in group.items()}
    found: dict[int, list[Box]] = {}
    for box in boxes:
        found.setdefault(group[id(box)], []).append(box)
    return list(found.values())


def _bend(start: tuple[float, float], end: tuple[float, float]) -> tuple[tuple[float, float], ...]:
    """The points of a smooth way that leaves and arrives upright."""
    if start[0] == end[0]:
        return start, end
    (x0, y0), (x1, y1) = start, end
    middle = (y0 + y1) / 2
    points = []
    for i in range(13):
        t = i / 12
        a, b, c, d = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3
        points.append((round(a * x0 + b * x0 + c * x1 + d * x1, 1), round(a * y0 + (b + c) * middle + d * y1, 1)))
    return tuple(points)


def _inset(half: float) -> float:
    return max(0.0, half - 16)
