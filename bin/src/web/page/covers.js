// Covers: a picture where the file has one, else a drawing that is the same for every song of an
// album. The box has its size before either is there, so nothing jumps.

import { coverUrl } from './api.js';
import { hash, svg } from './dom.js';

/** Songs without a picture: asked for once. */
const without = new Set();

/** How long nothing new may come before the covers of a list are filled. */
const QUIET_MS = 70;

/** Boxes that wait to be filled, while a list runs past. */
const waiting = new Map();
let timer = 0;

/**
 * Fills a `.cover` box for a song. With `lazy`, once the list stands still: a fast hand passes hundreds
 * of covers that nobody sees.
 */
export function fillCover(box, song, { lazy = true } = {}) {
  if (box.dataset.song === song?.id) return;
  for (const old of box.querySelectorAll('img, .drawn')) old.remove();
  box.dataset.song = song?.id ?? '';
  waiting.delete(box);
  if (!song) return;
  if (!lazy) return fill(box, song, false);
  waiting.set(box, song);
  clearTimeout(timer);
  timer = setTimeout(fillWaiting, QUIET_MS);
}

function fillWaiting() {
  const boxes = [...waiting];
  waiting.clear();
  for (const [box, song] of boxes) if (box.isConnected) fill(box, song, true);
}

function fill(box, song, lazy) {
  const drawn = drawing(song);
  box.prepend(drawn);
  if (without.has(song.id)) return;
  const image = document.createElement('img');
  image.alt = '';
  image.decoding = 'async';
  image.loading = lazy ? 'lazy' : 'eager';
  image.width = image.height = 96;
  image.addEventListener('error', () => {
    without.add(song.id);
    image.remove();
  });
  image.addEventListener('load', () => box.classList.add('pictured'));
  image.src = coverUrl(song.id);
  drawn.after(image);
}

export const hasPicture = (id) => !without.has(id);

/** Rings like a record's, cut and turned by the album's name. */
function drawing(song) {
  const seed = hash(`${song.artist}/${song.album || song.id}`);
  const arcs = [0, 1, 2, 3].map((n) => {
    const part = (seed >>> (n * 5)) & 31;
    const radius = 9 + n * 8.5;
    const length = 2 * Math.PI * radius;
    return svg('circle', {
      cx: 50, cy: 50, r: radius, pathLength: 100,
      'stroke-dasharray': `${25 + part * 1.6} 100`,
      transform: `rotate(${(part * 47 + n * 90) % 360} 50 50)`,
      'stroke-width': length > 150 ? 3.4 : 3,
    });
  });
  return svg('svg.drawn', { viewBox: '0 0 100 100', 'aria-hidden': 'true', 'data-tint': (seed % 6) + 1 }, ...arcs);
}
