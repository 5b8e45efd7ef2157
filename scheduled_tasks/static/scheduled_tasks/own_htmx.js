/* Loaded before and after our htmx, which only does what scheduled_tasks.js asks for: it gives the global name back to
   whoever had it, and never starts by itself. Two that start both answer to every hx- attribute on the page. */
(() => {
  const own = window.scheduledTasks;
  if (!own) {
    window.scheduledTasks = { other: window.htmx };
    document.addEventListener = (type, ...rest) => {
      if (type !== "DOMContentLoaded") EventTarget.prototype.addEventListener.call(document, type, ...rest);
    };
    return;
  }
  delete document.addEventListener;
  own.htmx = window.htmx;
  if (own.other) window.htmx = own.other;
})();
