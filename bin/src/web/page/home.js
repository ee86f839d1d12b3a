// What the home view shows of a library of any size: a few albums that came last, and a few by chance.

import * as api from './api.js';

const SHELF = 18;

/** Most albums that one question gives. */
const PAGE = 100;

/** The albums that were added last; none from routers of an earlier version. */
export async function recentAlbums(signal) {
  try {
    return (await api.albums({ sort: 'added', descending: true, limit: SHELF }, signal)).albums;
  } catch (error) {
    if (error.name === 'AbortError' || !error.status) throw error;
    return [];
  }
}

let drawn = null;

/** Albums by chance; the same ones until others are wanted. */
export async function randomAlbums(others, signal) {
  if (drawn?.length && !others) return drawn;
  const { albums, total } = await api.albums({ words: await prefix(signal), limit: PAGE }, signal);
  drawn = total ? mixed(albums).slice(0, SHELF) : [];
  return drawn;
}

/** Ids are as good as dice: a search for the albums whose ids begin with these digits. */
async function prefix(signal) {
  const { total } = await api.albums({ limit: 1 }, signal);
  const digits = Math.floor(Math.log(Math.max(total, 1) / SHELF) / Math.log(16));
  if (total <= PAGE || digits < 1) return '';
  const number = Math.floor(Math.random() * 16 ** digits);
  return `albumid:${number.toString(16).padStart(digits, '0')}`;
}

export function mixed(list) {
  const all = [...list];
  for (let i = all.length - 1; i > 0; i -= 1) {
    const j = Math.floor(Math.random() * (i + 1));
    [all[i], all[j]] = [all[j], all[i]];
  }
  return all;
}
