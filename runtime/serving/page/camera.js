// A photo from the camera, seen in a dialog until it is taken. Phones have a camera of their own behind a file input.

export class Camera {
  #dialog;
  #video;
  #stream = null;

  /** @param dialog has a video, and closes with "take" or anything else. */
  constructor(dialog) {
    [this.#dialog, this.#video] = [dialog, dialog.querySelector("video")];
  }

  /** Browsers have it on https and on the loopback alone. */
  static get isThere() {
    return Boolean(navigator.mediaDevices?.getUserMedia);
  }

  /** A promise of a PNG file, or of null where none was taken. */
  async take() {
    try {
      const video = { facingMode: "user", width: { ideal: 1920 }, height: { ideal: 1080 } };
      this.#stream = await navigator.mediaDevices.getUserMedia({ video });
    } catch (error) {
      throw new Error(`The camera cannot be used: ${error.message}`);
    }
    this.#video.srcObject = this.#stream;
    this.#dialog.returnValue = "";
    this.#dialog.showModal();
    try {
      await new Promise((resolve) => (this.#dialog.onclose = resolve));
      return this.#dialog.returnValue === "take" ? await this.#frame() : null;
    } finally {
      for (const track of this.#stream.getTracks()) track.stop();
      this.#video.srcObject = null;
    }
  }

  #frame() {
    const { videoWidth, videoHeight } = this.#video;
    if (!videoWidth) throw new Error("The camera has given no picture yet.");
    const canvas = new OffscreenCanvas(videoWidth, videoHeight);
    canvas.getContext("2d").drawImage(this.#video, 0, 0);
    return canvas.convertToBlob({ type: "image/png" });
  }
}
