// What this browser can play. It is asked before a song is tried.

import { streamUrl } from './api.js';

const TYPES = {
  wav: 'audio/wav', mp3: 'audio/mpeg', flac: 'audio/flac', m4a: 'audio/mp4',
  vorbis: 'audio/ogg; codecs="vorbis"', opus: 'audio/ogg; codecs="opus"',
};

const ear = document.createElement('audio');

/** Media types of songs whose format the list does not name. */
const found = new Map();

/** Finds out what a song is, if its format does not say it. */
export async function learnFormat(song) {
  if (!song || song.format in TYPES || found.has(song.id)) return;
  try {
    const answer = await fetch(streamUrl(song.id), { method: 'HEAD' });
    const [type] = (answer.headers.get('Content-Type') ?? '').split(';');
    if (answer.ok && /^(audio|video)\//.test(type)) found.set(song.id, type);
  } catch {
    // The server is away: the player goes on trying.
  }
}

/** False when the browser is sure that it cannot. */
export function isPlayable(song) {
  const type = TYPES[song?.format] ?? found.get(song?.id);
  return !type || ear.canPlayType(type) !== '';
}

/** The format in a word: the end of the media type where the list has none. */
export const formatName = (song) => found.get(song.id)?.replace(/^.*\/(x-)?/, '') ?? song.format;
