/* Pages that are opened from the disk may start no worker, and the search runs in one. Here it runs in a frame without
   an address of its own, which speaks as a worker does. Served pages have workers and do not need this. */
"use strict";
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(address) {
      super();
      this.onmessage = this.onerror = null;
      this.waiting = [];
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.body.appendChild(this.frame);
      const inner = this.frame.contentWindow;
      inner.postMessage = (data) => {
        const told = new MessageEvent("message", { data });
        this.dispatchEvent(told);
        if (this.onmessage) this.onmessage(told);
      };
      inner.importScripts = (...names) =>
        names.reduce((before, name) => before.then(() => this.load(inner, new URL(name, address))), Promise.resolve());
      this.load(inner, address).then(() => {
        const waiting = this.waiting;
        this.waiting = null;
        for (const data of waiting) this.hand(inner, data);
      });
    }
    load(inner, address) {
      return new Promise((done, failed) => {
        const script = inner.document.createElement("script");
        script.src = address;
        script.onload = done;
        script.onerror = failed;
        inner.document.body.appendChild(script);
      });
    }
    hand(inner, data) {
      const told = new inner.MessageEvent("message", { data });
      inner.dispatchEvent(told);
      if (inner.onmessage) inner.onmessage(told);
    }
    postMessage(data) {
      if (this.waiting) this.waiting.push(data);
      else this.hand(this.frame.contentWindow, data);
    }
    terminate() {
      this.frame.remove();
    }
  };
}
