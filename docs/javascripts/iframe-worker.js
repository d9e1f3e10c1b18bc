/* A browser starts no worker for a page on the disk. This runs the worker's script in a hidden frame instead. */
if (location.protocol === "file:") {
  window.Worker = class {
    constructor(url) {
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.body.append(this.frame);
      this.inside = this.frame.contentWindow;
      this.inside.postMessage = (data) => setTimeout(() => this.onmessage?.(new MessageEvent("message", { data })));
      this.loaded = new Promise((resolve, reject) => {
        const script = this.inside.document.createElement("script");
        Object.assign(script, { src: url, onload: resolve, onerror: reject });
        this.inside.document.head.append(script);
      });
      this.loaded.catch((event) => this.onerror?.(event));
    }

    postMessage(data) {
      const { MessageEvent, structuredClone } = this.inside;
      this.loaded.then(() =>
        this.inside.dispatchEvent(new MessageEvent("message", { data: structuredClone.call(this.inside, data) })),
      );
    }

    terminate() {
      this.frame.remove();
    }
  };
}
