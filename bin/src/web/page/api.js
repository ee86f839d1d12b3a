// The server's questions and answers. Whatever goes wrong becomes a `Failure` with words for a
// person; an aborted question stays an `AbortError`, which callers drop.

import { t } from './words.js';

export class Failure extends Error {
  constructor(words, status = 0) {
    super(words);
    this.status = status;
  }
}

async function ask(url, signal) {
  let answer;
  try {
    answer = await fetch(url, { signal, headers: { Accept: 'application/json' } });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Failure(t('needsServer'));
  }
  const body = await answer.json().catch(() => null);
  if (!answer.ok) throw new Failure(body?.error || t('failedWith', answer.status), answer.status);
  if (!body) throw new Failure(t('failedWith', answer.status), answer.status);
  return body;
}

/** The query of a list: what is not wanted is left out. */
function query({ words, sort, descending, after, from, limit, artist }) {
  const wanted = { q: words, sort, desc: descending ? '1' : '', after, from, limit, artist };
  const given = Object.entries(wanted).filter(([, value]) => value !== undefined && value !== null && value !== '');
  return new URLSearchParams(given);
}

/** One page of a list: `{ songs, total, next }` and so on. */
export const songs = (wish, signal) => ask(`api/songs?${query(wish)}`, signal);
export const albums = (wish, signal) => ask(`api/albums?${query(wish)}`, signal);
export const artists = (wish, signal) => ask(`api/artists?${query(wish)}`, signal);
export const genres = (wish, signal) => ask(`api/genres?${query(wish)}`, signal);
export const years = (wish, signal) => ask(`api/years?${query(wish)}`, signal);

/** An album with its songs from a number on. */
export const album = (id, from, signal) => ask(`api/albums/${encodeURIComponent(id)}?${query({ from })}`, signal);

/** What the tags of a song say beside the list: ReplayGain, lyrics. */
export const tags = (id, signal) => ask(`api/songs/${encodeURIComponent(id)}/tags`, signal);

export const song = (id, signal) => ask(`api/songs/${encodeURIComponent(id)}`, signal);
export const status = () => ask('api/status');

/** Asks for a change that answers with nothing. */
async function change(method, url) {
  let answer;
  try {
    answer = await fetch(url, { method });
  } catch {
    throw new Failure(t('needsServer'));
  }
  if (answer.ok) return answer;
  const body = await answer.json().catch(() => null);
  throw new Failure(body?.error || t('failedWith', answer.status), answer.status);
}

/** One page of the trash. */
export function trash(after, limit = 50) {
  const query = new URLSearchParams({ limit });
  if (after) query.set('after', after);
  return ask(`api/trash?${query}`);
}

/** Removes a song; true: it lies in the trash and can be taken back. */
export const remove = async (id) =>
  (await change('DELETE', `api/songs/${encodeURIComponent(id)}`)).headers.has('Location');
export const restore = (id) => change('POST', `api/trash/${encodeURIComponent(id)}`);
export const purge = (id) => change('DELETE', `api/trash/${encodeURIComponent(id)}`);

/** Tells that a song was heard. */
export const heard = (id) => change('POST', `api/plays/${encodeURIComponent(id)}`);

export const streamUrl = (id) => `stream/${encodeURIComponent(id)}`;
export const downloadUrl = (id) => `download/${encodeURIComponent(id)}`;
/** Without a picture the answer is to be empty: a 404 would stand in the browser's log as an error. */
export const coverUrl = (id) => `cover/${encodeURIComponent(id)}?missing=204`;

/** What a stream's address answers: 0 when nobody does. */
export async function probe(id) {
  try {
    const answer = await fetch(streamUrl(id), { method: 'HEAD', cache: 'no-store' });
    return answer.status;
  } catch {
    return 0;
  }
}

/** Sends one file; `onProgress` hears bytes sent. Gives the promise and a way to abort it. */
export function upload(file, onProgress) {
  const request = new XMLHttpRequest();
  const done = new Promise((resolve, reject) => {
    request.upload.addEventListener('progress', (event) => onProgress(event.loaded));
    request.addEventListener('load', () => {
      const body = request.response;
      if (request.status < 300 && body?.id) resolve(body);
      else reject(new Failure(body?.error || t('failedWith', request.status), request.status));
    });
    request.addEventListener('error', () => reject(new Failure(t('up_lost'))));
    request.addEventListener('abort', () => reject(new DOMException('', 'AbortError')));
  });
  request.open('POST', 'api/songs');
  request.responseType = 'json';
  request.setRequestHeader('Content-Type', 'application/octet-stream');
  request.setRequestHeader('X-Filename', encodeURIComponent(file.name));
  request.send(file);
  return { done, abort: () => request.abort() };
}

/**
 * Listens to the server's events for as long as the page lives. The browser asks again by itself
 * after a break; where it gives up (an answer that is no stream), this begins anew.
 */
export function listen(heard) {
  let wait = 1000;
  const begin = () => {
    const source = new EventSource('api/events');
    source.addEventListener('open', () => {
      wait = 1000;
      heard('open');
    });
    for (const name of ['status', 'fragment']) {
      source.addEventListener(name, (event) => heard(name, parse(event.data)));
    }
    source.addEventListener('error', () => {
      heard('lost');
      if (source.readyState !== EventSource.CLOSED) return;
      setTimeout(begin, wait);
      wait = Math.min(wait * 2, 15000);
    });
  };
  begin();
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
