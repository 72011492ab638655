// The service worker: keeps the app's own files, so that a tablet that is reloaded without a network still has its screens.
// It answers for the page and for the files of its build and for nothing else: every other request, to the hub or to the
// bar's server, goes its way as if no worker were there.
export {};

declare const self: ServiceWorkerGlobalScope;

/** What build.js puts here: a name that no other build has, and the files beside the page, each named by its contents. */
declare const BUILD: { readonly name: string; readonly files: readonly string[] };

/** So long the page may take from the network, in ms: half a kilobyte that takes longer comes over no network to wait for. */
const PATIENCE = 2_000;

/** Other apps of this origin have caches, too. */
const OURS = "bar ";
const KEPT = OURS + BUILD.name;

const at = (path: string): string => new URL(path, self.location.href).href;
const PAGE = at("./");
const FILES = new Set(BUILD.files.map(at));

self.addEventListener("install", (event) => event.waitUntil(keep()));
self.addEventListener("activate", (event) => event.waitUntil(dropOthers()));
self.addEventListener("fetch", (event) => {
  const { method, mode, url } = event.request;
  if (method !== "GET") return;
  if (mode === "navigate" && url.split(/[?#]/, 1)[0] === PAGE) event.respondWith(page(event.request));
  else if (FILES.has(url)) event.respondWith(file(event.request));
});

/** Keeps all of this build or fails, and then the worker before it stays. */
async function keep(): Promise<void> {
  const kept = await caches.open(KEPT);
  await kept.add(PAGE); // first: the files of a build that was replaced meanwhile are gone, and none is kept with another's page
  await kept.addAll([...FILES]);
  await self.skipWaiting(); // a page has all that it needs once it runs: nothing waits for its last window to be closed
}

async function dropOthers(): Promise<void> {
  const names = await caches.keys();
  await Promise.all(names.filter((name) => name.startsWith(OURS) && name !== KEPT).map((name) => caches.delete(name)));
}

/** The network's page, which may be a newer build's; ours when none comes in time, or only a proxy's word that there is none. */
async function page(request: Request): Promise<Response> {
  const kept = await caches.match(PAGE, { cacheName: KEPT });
  if (!kept) return fetch(request); // somebody emptied the browser's storage
  try {
    const answer = await fetch(request, { signal: AbortSignal.timeout(PATIENCE) });
    await answer.clone().arrayBuffer(); // all of it in time, not its first line
    return answer.status < 500 ? answer : kept;
  } catch {
    return kept;
  }
}

async function file(request: Request): Promise<Response> {
  return (await caches.match(request, { cacheName: KEPT })) ?? fetch(request);
}
