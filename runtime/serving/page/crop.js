// Choosing the part of a photo that is inverted: found by the service, dragged, zoomed, turned, or moved with keys.

export class Crop {
  #stage;
  #canvas;
  #zoom;
  #turn;
  #picture = null;
  #aspect = 1;
  /** The middle of what is seen, and its width without zoom, in the photo's pixels. */
  #middle = [0, 0];
  #base = 1;
  /** Where a face was found; such a part may leave the photo. */
  #found = null;
  #touches = new Map();
  /** Whether a hand has moved it since it was opened or placed. */
  isMoved = false;
  /** Whatever `open` was given for the photo. */
  source = null;

  constructor(stage, canvas, zoom, turn) {
    [this.#stage, this.#canvas, this.#zoom, this.#turn] = [stage, canvas, zoom, turn];
    zoom.oninput = turn.oninput = () => this.#moved();
    stage.onpointerdown = (event) => {
      stage.setPointerCapture(event.pointerId);
      this.#touches.set(event.pointerId, event);
    };
    stage.onpointerup = stage.onpointercancel = (event) => this.#touches.delete(event.pointerId);
    stage.onpointermove = (event) => this.#dragged(event);
    stage.onwheel = (event) => {
      event.preventDefault();
      this.#zoomBy(Math.exp(-event.deltaY / 400));
    };
    stage.onkeydown = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return; // the browser's own: its zoom, the page before
      const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (step) this.#shift(step[0] * -8, step[1] * -8);
      else if (event.key === "+" || event.key === "-") this.#zoomBy(event.key === "+" ? 1.05 : 1 / 1.05);
      else if (event.key === "[" || event.key === "]") this.#turnBy(event.key === "]" ? 1 : -1);
      else return;
      event.preventDefault();
    };
    new ResizeObserver(() => this.#draw()).observe(stage);
  }

  /** Show a photo, its middle first. */
  open(picture, aspect, source) {
    [this.#picture, this.#aspect, this.source] = [picture, aspect, source];
    this.#middle = [picture.width / 2, picture.height / 2];
    this.#base = this.#widest(0);
    this.#found = null;
    this.#set({ zoom: 1, least: 1, degrees: 0 });
  }

  /** Show the part with these corners, upper left, lower left, lower right, upper right. */
  place(quad) {
    const [[left, upper], , [right, lower], [x, y]] = (this.#found = quad);
    this.#middle = [(left + right) / 2, (upper + lower) / 2];
    this.#base = Math.hypot(x - left, y - upper);
    this.#set({ zoom: 1, least: 0.5, degrees: (Math.atan2(y - upper, x - left) * 180) / Math.PI });
  }

  /** Show it again as it was. */
  show() {
    this.#draw();
    this.#stage.focus({ preventScroll: true });
  }

  /** Whether what is seen began with a face that was found. */
  get isOfFace() {
    return this.#found !== null;
  }

  /** The corners of what is seen, as `place` takes them. */
  get quad() {
    const { middle: [x, y], width, height, angle } = this.#seen();
    const [cos, sin] = [Math.cos(angle) / 2, Math.sin(angle) / 2];
    return [[-1, -1], [-1, 1], [1, 1], [1, -1]].map(([right, down]) => [
      x + right * width * cos - down * height * sin,
      y + right * width * sin + down * height * cos,
    ]);
  }

  /** What is seen, as a PNG file: at least as large as the network's input, at most 1024 pixels wide. */
  cut(input) {
    return cutOut(this.#picture, this.#seen(), input);
  }

  #set({ zoom, least, degrees }) {
    Object.assign(this.#zoom, { min: least, value: zoom });
    this.#turn.value = degrees;
    this.isMoved = false;
    this.show();
  }

  #moved() {
    this.isMoved = true;
    this.#draw();
  }

  /** The width of the largest part of the photo that is turned so. */
  #widest(angle) {
    const { width, height } = this.#picture;
    const [cos, sin] = [Math.abs(Math.cos(angle)), Math.abs(Math.sin(angle))];
    return Math.min(width / (cos + sin / this.#aspect), height / (sin + cos / this.#aspect));
  }

  /** The part that is seen. */
  #seen() {
    const angle = (this.#turn.value * Math.PI) / 180;
    const zoomed = this.#base / this.#zoom.value;
    const width = this.#found ? zoomed : Math.min(zoomed, this.#widest(angle));
    const height = width / this.#aspect;
    const [cos, sin] = [Math.abs(Math.cos(angle)), Math.abs(Math.sin(angle))];
    const [x, y] = this.#found ? [0, 0] : [(width * cos + height * sin) / 2, (width * sin + height * cos) / 2];
    const between = (value, low, high) => Math.min(high, Math.max(low, value));
    this.#middle = [
      between(this.#middle[0], x, this.#picture.width - x),
      between(this.#middle[1], y, this.#picture.height - y),
    ];
    return { middle: this.#middle, width, height, angle };
  }

  /** Move the photo by pixels of the screen. */
  #shift(x, y) {
    const { width, angle } = this.#seen();
    const pixel = width / this.#stage.clientWidth;
    const [cos, sin] = [Math.cos(angle) * pixel, Math.sin(angle) * pixel];
    this.#middle = [this.#middle[0] - x * cos + y * sin, this.#middle[1] - x * sin - y * cos];
    this.#moved();
  }

  #zoomBy(factor) {
    this.#zoom.value = this.#zoom.value * factor;
    this.#moved();
  }

  #turnBy(degrees) {
    this.#turn.value = Number(this.#turn.value) + degrees;
    this.#moved();
  }

  #dragged(event) {
    const before = this.#touches.get(event.pointerId);
    if (!before) return;
    const line = () => {
      const [a, b] = this.#touches.values();
      return b ? [b.clientX - a.clientX, b.clientY - a.clientY] : null;
    };
    const old = line();
    this.#touches.set(event.pointerId, event);
    if (old) {
      const now = line();
      this.#zoomBy(Math.hypot(...now) / Math.max(1, Math.hypot(...old)));
      const turned = Math.atan2(old[1], old[0]) - Math.atan2(now[1], now[0]);
      this.#turnBy((Math.atan2(Math.sin(turned), Math.cos(turned)) * 180) / Math.PI);
    }
    const share = 1 / this.#touches.size;
    this.#shift((event.clientX - before.clientX) * share, (event.clientY - before.clientY) * share);
  }

  #draw() {
    if (!this.#picture || !this.#stage.clientWidth) return;
    const scale = devicePixelRatio;
    this.#canvas.width = this.#stage.clientWidth * scale;
    this.#canvas.height = this.#stage.clientHeight * scale;
    paint(this.#canvas, this.#picture, this.#seen());
  }
}

/** The largest part of a picture's middle that has the input's shape, as `Crop.cut` gives it. */
export function middleOf(picture, input) {
  const width = Math.min(picture.width, (picture.height * input.width) / input.height);
  const height = (width * input.height) / input.width;
  return cutOut(picture, { middle: [picture.width / 2, picture.height / 2], width, height, angle: 0 }, input);
}

function cutOut(picture, part, { width, height }) {
  const scale = Math.min(1024, Math.max(width, Math.round(part.width))) / width;
  const canvas = new OffscreenCanvas(Math.round(width * scale), Math.round(height * scale));
  paint(canvas, picture, part);
  return canvas.convertToBlob({ type: "image/png" });
}

/** Fill a canvas with a part of a picture. */
function paint(canvas, picture, { middle: [x, y], width, angle }) {
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  const scale = canvas.width / width;
  const [cos, sin] = [Math.cos(angle) * scale, Math.sin(angle) * scale];
  context.setTransform(cos, -sin, sin, cos, canvas.width / 2 - x * cos - y * sin, canvas.height / 2 + x * sin - y * cos);
  context.drawImage(picture, 0, 0);
}
