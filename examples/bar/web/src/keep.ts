/**
 * Has the browser keep the app's files (worker/worker.ts), so that a reload without a network has its screens. Browsers do that
 * for https and for localhost alone: elsewhere a reload needs the network, and all else is as it was.
 */
export function keepApp(): void {
  if (!("serviceWorker" in navigator)) return;
  // Without a network the worker that is there stays, and the next load asks again.
  navigator.serviceWorker.register("worker.js").catch(() => undefined);
}
