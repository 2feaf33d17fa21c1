// Choosing the part of a photo that is inverted: dragged, zoomed, or moved with keys.

export class Crop {
  #stage;
  #canvas;
  #zoom;
  #picture = null;
  /** The middle of what is seen, in the photo's pixels. */
  #middle = [0, 0];
  #aspect = 1;
  #touches = new Map();
  /** Whatever `open` was given for the photo. */
  source = null;

  constructor(stage, canvas, zoom) {
    [this.#stage, this.#canvas, this.#zoom] = [stage, canvas, zoom];
    zoom.oninput = () => this.#draw();
    stage.onpointerdown = (event) => {
      stage.setPointerCapture(event.pointerId);
      this.#touches.set(event.pointerId, event);
    };
    stage.onpointerup = stage.onpointercancel = (event) => this.#touches.delete(event.pointerId);
    stage.onpointermove = (event) => this.#moved(event);
    stage.onwheel = (event) => {
      event.preventDefault();
      this.#zoomBy(Math.exp(-event.deltaY / 400));
    };
    stage.onkeydown = (event) => {
      const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (step) this.#shift(step[0] * -8, step[1] * -8);
      else if (event.key === "+" || event.key === "-") this.#zoomBy(event.key === "+" ? 1.05 : 1 / 1.05);
      else return;
      event.preventDefault();
    };
    new ResizeObserver(() => this.#draw()).observe(stage);
  }

  open(picture, aspect, source) {
    [this.#picture, this.#aspect, this.source] = [picture, aspect, source];
    this.#middle = [picture.width / 2, picture.height / 2];
    this.#zoom.value = 1;
    this.#draw();
    this.#stage.focus({ preventScroll: true });
  }

  /** What is seen, as a PNG file: at least as large as the network's input, at most 1024 pixels wide. */
  async cut({ width, height }) {
    const [x, y, w, h] = this.#seen();
    const scale = Math.min(1024, Math.max(width, Math.round(w))) / width;
    const canvas = new OffscreenCanvas(Math.round(width * scale), Math.round(height * scale));
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(this.#picture, x, y, w, h, 0, 0, canvas.width, canvas.height);
    return canvas.convertToBlob({ type: "image/png" });
  }

  /** Left, upper edge, width and height of what is seen, in the photo's pixels. */
  #seen() {
    const { width, height } = this.#picture;
    const w = Math.min(width, height * this.#aspect) / this.#zoom.value;
    const h = w / this.#aspect;
    const between = (value, low, high) => Math.min(high, Math.max(low, value));
    this.#middle = [between(this.#middle[0], w / 2, width - w / 2), between(this.#middle[1], h / 2, height - h / 2)];
    return [this.#middle[0] - w / 2, this.#middle[1] - h / 2, w, h];
  }

  /** Move the photo by pixels of the screen. */
  #shift(x, y) {
    const pixel = this.#seen()[2] / this.#stage.clientWidth;
    this.#middle = [this.#middle[0] - x * pixel, this.#middle[1] - y * pixel];
    this.#draw();
  }

  #zoomBy(factor) {
    this.#zoom.value = this.#zoom.value * factor;
    this.#draw();
  }

  #moved(event) {
    const before = this.#touches.get(event.pointerId);
    if (!before) return;
    const spread = () => {
      const [a, b] = this.#touches.values();
      return b ? Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY) : 0;
    };
    const wide = spread();
    this.#touches.set(event.pointerId, event);
    if (wide) this.#zoomBy(spread() / wide);
    const share = 1 / this.#touches.size;
    this.#shift((event.clientX - before.clientX) * share, (event.clientY - before.clientY) * share);
  }

  #draw() {
    if (!this.#picture || !this.#stage.clientWidth) return;
    const scale = devicePixelRatio;
    this.#canvas.width = this.#stage.clientWidth * scale;
    this.#canvas.height = this.#stage.clientHeight * scale;
    const context = this.#canvas.getContext("2d");
    context.drawImage(this.#picture, ...this.#seen(), 0, 0, this.#canvas.width, this.#canvas.height);
  }
}
