// What the page does so that it can be installed, and opens and plays without its server: it starts
// the service worker and tells it what to keep.

import { streamUrl } from './api.js';

/** A song is kept once so much of it was heard: by then the player's server has all of it. */
const HEARD = 0.9;

const workers = navigator.serviceWorker;

let told = null;

export async function attendOffline() {
  if (!workers) return;
  try {
    await workers.register('worker.js');
    const { active } = await workers.ready;
    const own = performance.getEntriesByType('resource').map((entry) => entry.name);
    const isFile = (url) => url.startsWith(document.baseURI.replace(/[#?].*$/, '')) && /\.(js|css|svg|woff2|webmanifest)$/.test(url);
    active.postMessage({ files: ['./', 'manifest.webmanifest', 'icon.svg', ...new Set(own.filter(isFile))] });
  } catch {
    // A private window, or a browser that forbids it: the page needs its server then.
  }
}

/** The song that plays, and how far. */
export function keepHeard(song, position, duration) {
  const heard = duration > 0 && position > HEARD * duration;
  if (!heard || song.id === told || !workers?.controller) return;
  told = song.id;
  workers.controller.postMessage({ song: new URL(streamUrl(song.id), document.baseURI).href });
}
