// The page without its server: a service worker that keeps the page's files, the lists and covers that
// were looked at, and the songs that were heard. As long as the server answers, its answer counts;
// what is kept serves when it does not, or when no node does.
//
// Everything kept is bounded, and the oldest goes first.

const FILES = 'files';
const ANSWERS = 'answers';
const COVERS = 'covers';
const SONGS = 'songs';
const ENTRIES_MAX = { [FILES]: 100, [ANSWERS]: 300, [COVERS]: 400 };
const COVER_BYTES_MAX = 2e6;
/** All songs together, and one of them. */
const SONGS_BYTES_MAX = 256e6;
const SONG_BYTES_MAX = 100e6;
/** A server that takes longer than this is as good as away. */
const PATIENCE_MS = 4000;

const LISTS = /^\/api\/(songs|albums|artists|genres|years)(\/|$)/;

/** The paths of the songs that are kept; null until it was looked. */
let kept = null;

addEventListener('install', () => skipWaiting());
addEventListener('activate', (event) => event.waitUntil(clients.claim()));

addEventListener('fetch', (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== 'GET' || url.origin !== location.origin) return;
  const path = below(url);
  if (path.startsWith('/stream/')) {
    if (kept === null || kept.has(url.pathname)) event.respondWith(song(request, url));
  } else if (path.startsWith('/cover/')) event.respondWith(cover(request));
  else if (LISTS.test(path)) event.respondWith(fresh(request, ANSWERS));
  else if (!/^\/(api|download|metrics)(\/|$)/.test(path)) event.respondWith(fresh(request, FILES));
});

addEventListener('message', (event) => {
  const { files, song: heard } = event.data ?? {};
  if (Array.isArray(files)) event.waitUntil(keepFiles(files));
  if (typeof heard === 'string') event.waitUntil(keepSong(heard));
});

/** The path below the page's folder. */
const below = (url) => url.pathname.slice(new URL(registration.scope).pathname.length - 1);

/** The server's answer, which is kept; or the one that was kept, when there is none. */
async function fresh(request, name) {
  const cache = await caches.open(name);
  try {
    const answer = await inTime(request);
    if (answer.ok) await keep(cache, name, request, answer.clone());
    // No router answers, or the server is overtaxed.
    if (answer.status < 500) return answer;
    return (await cache.match(request)) ?? answer;
  } catch (error) {
    const old = await cache.match(request, { ignoreSearch: name === FILES });
    if (old) return old;
    throw error;
  }
}

async function inTime(request) {
  const patience = new AbortController();
  const timer = setTimeout(() => patience.abort(), PATIENCE_MS);
  const stop = () => patience.abort();
  request.signal.addEventListener('abort', stop);
  try {
    // Of a navigation no copy with other options may be made.
    return await fetch(request.mode === 'navigate' ? request.url : request, { signal: patience.signal });
  } finally {
    clearTimeout(timer);
    request.signal.removeEventListener('abort', stop);
  }
}

/** Covers never change. */
async function cover(request) {
  const cache = await caches.open(COVERS);
  const old = await cache.match(request);
  if (old) return old;
  const answer = await fetch(request);
  const bytes = Number(answer.headers.get('Content-Length'));
  if (answer.status === 200 && bytes <= COVER_BYTES_MAX) await keep(cache, COVERS, request, answer.clone());
  return answer;
}

async function keep(cache, name, request, answer) {
  try {
    await cache.put(request, answer);
    const keys = await cache.keys();
    for (const old of keys.slice(0, Math.max(0, keys.length - ENTRIES_MAX[name]))) await cache.delete(old);
  } catch {
    // No room: the page works without.
  }
}

async function keepFiles(files) {
  const cache = await caches.open(FILES);
  for (const file of files) {
    try {
      await cache.add(file);
    } catch {
      // The next visit tries again.
    }
  }
}

// Songs

async function song(request, url) {
  kept ??= await keptSongs();
  const old = kept.has(url.pathname) && await (await caches.open(SONGS)).match(url.pathname);
  return old ? part(old, request.headers.get('Range')) : fetch(request);
}

async function keptSongs() {
  const keys = await (await caches.open(SONGS)).keys();
  return new Set(keys.map((one) => new URL(one.url).pathname));
}

async function keepSong(url) {
  kept ??= await keptSongs();
  const path = new URL(url, registration.scope).pathname;
  if (kept.has(path)) return;
  try {
    const answer = await fetch(url);
    const bytes = Number(answer.headers.get('Content-Length'));
    if (answer.status !== 200 || !(bytes > 0 && bytes <= SONG_BYTES_MAX)) return await answer.body?.cancel();
    const cache = await caches.open(SONGS);
    await makeRoom(cache, bytes);
    await cache.put(path, answer);
    kept.add(path);
  } catch {
    // The server is away, or there is no room.
  }
}

/** The oldest songs go, until there is room for so many bytes. */
async function makeRoom(cache, bytes) {
  const all = [];
  for (const key of await cache.keys()) {
    const answer = await cache.match(key);
    all.push([key, Number(answer?.headers.get('Content-Length')) || SONG_BYTES_MAX]);
  }
  let sum = all.reduce((total, [, one]) => total + one, bytes);
  for (const [key, one] of all) {
    if (sum <= SONGS_BYTES_MAX) return;
    await cache.delete(key);
    kept.delete(new URL(key.url).pathname);
    sum -= one;
  }
}

/** A part of a kept song, as the server would have answered. */
async function part(answer, range) {
  const blob = await answer.blob();
  const headers = { 'Content-Type': answer.headers.get('Content-Type') ?? '', 'Accept-Ranges': 'bytes' };
  const [, first, last] = /^bytes=(\d*)-(\d*)$/.exec(range ?? '') ?? [];
  if (first === undefined || (first === '' && last === '')) return new Response(blob, { headers });
  const from = first === '' ? Math.max(blob.size - Number(last), 0) : Number(first);
  const end = first === '' || last === '' ? blob.size : Math.min(Number(last) + 1, blob.size);
  if (from >= end) return new Response(null, { status: 416, headers: { 'Content-Range': `bytes */${blob.size}` } });
  headers['Content-Range'] = `bytes ${from}-${end - 1}/${blob.size}`;
  return new Response(blob.slice(from, end), { status: 206, headers });
}
