// Search in pages that are opened from the disk: browsers start no worker there, so its script runs
// in a hidden frame. Loaded by mkdocs.yml (extra.polyfills); from a server it does nothing.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.appendChild(frame);
      const inside = frame.contentWindow;
      inside.document.open();
      inside.document.write("<!DOCTYPE html><html><body></body></html>");
      inside.document.close();
      inside.postMessage = (data) => {
        const event = new MessageEvent("message", { data });
        this.dispatchEvent(event);
        if (this.onmessage) this.onmessage(event);
      };
      const home = new URL(url, location.href).href;
      const load = (address) =>
        new Promise((resolve, reject) => {
          const script = inside.document.createElement("script");
          script.src = new URL(address, home).href;
          script.onload = resolve;
          script.onerror = () => reject(new Error(`${address} can't be loaded`));
          inside.document.body.appendChild(script);
        });
      inside.importScripts = async (...all) => {
        for (const one of all) await load(one);
      };
      this.inside = inside;
      this.ready = load(home);
    }

    postMessage(data) {
      this.ready.then(() => {
        this.inside.dispatchEvent(new this.inside.MessageEvent("message", { data }));
      });
    }

    terminate() {
      this.inside.frameElement.remove();
    }
  };
}
