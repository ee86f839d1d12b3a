// The lyrics of the song that plays. Where the tags have times, the line that is sung stands out and
// comes into the middle, and a click on a line leads there.

import { $, el, still } from './dom.js';
import { t } from './words.js';

export class Lyrics extends EventTarget {
  #id = null;
  #lines = [];
  #at = -1;

  /** Shows the lyrics of a song; `tags` are null while they have not come. */
  show(song, tags) {
    const text = tags?.lyrics ?? '';
    const key = `${song?.id}/${text.length}`;
    if (key === this.#id) return;
    this.#id = key;
    this.#at = -1;
    this.#lines = parse(text);
    const timed = this.#lines.some((line) => line.at !== null);
    $('lyrics').classList.toggle('timed', timed);
    $('lyrics').replaceChildren(...this.#lines.map((line) => this.#line(line, timed)));
    $('lyrics').scrollTop = 0;
    const none = !song ? 'lyricsNothing' : 'lyricsNone';
    $('lyrics-empty').textContent = this.#lines.length ? '' : t(none);
    $('lyrics-empty').hidden = this.#lines.length > 0;
  }

  /** The time of the song, in seconds. */
  follow(position) {
    let at = -1;
    this.#lines.forEach((line, n) => {
      if (line.at !== null && line.at <= position + 0.15) at = n;
    });
    if (at === this.#at) return;
    $('lyrics').children[this.#at]?.removeAttribute('aria-current');
    this.#at = at;
    const line = $('lyrics').children[at];
    if (!line) return;
    line.setAttribute('aria-current', 'true');
    if ($('panel-lyrics').hidden) return;
    const panel = $('panel-lyrics');
    const top = line.offsetTop - panel.clientHeight / 2 + line.offsetHeight / 2;
    panel.scrollTo({ top, behavior: still.matches ? 'auto' : 'smooth' });
  }

  #line({ at, text }, timed) {
    if (!timed || at === null) return el('p.lyric', { textContent: text });
    const line = el('button.lyric', { type: 'button', textContent: text || '♪' });
    line.addEventListener('click', () => this.dispatchEvent(new CustomEvent('seek', { detail: at })));
    return line;
  }
}

const STAMP = /^\s*\[(\d{1,3}):(\d{1,2}(?:[.:]\d{1,3})?)\]/;

/** Lines of LRC, or plain ones: `{ at: seconds or null, text }`, in the order of their times. */
export function parse(text) {
  const lines = [];
  let shift = 0;
  for (let rest of text.split('\n')) {
    const offset = /^\s*\[offset:\s*([+-]?\d+)\s*\]/i.exec(rest);
    if (offset) shift = Number(offset[1]) / 1000;
    if (/^\s*\[[a-z#]+:.*\]\s*$/i.test(rest)) continue;
    const times = [];
    for (let stamp = STAMP.exec(rest); stamp; stamp = STAMP.exec(rest)) {
      times.push(Number(stamp[1]) * 60 + Number(stamp[2].replace(':', '.')));
      rest = rest.slice(stamp[0].length);
    }
    // Times of single words, as some programs write them.
    const words = rest.replace(/<\d{1,3}:\d{1,2}(?:\.\d{1,3})?>/g, '').trim();
    if (times.length) times.forEach((at) => lines.push({ at: Math.max(at - shift, 0), text: words }));
    else lines.push({ at: null, text: words });
  }
  while (lines.length && !lines.at(-1).text && lines.at(-1).at === null) lines.pop();
  const timed = lines.some((line) => line.at !== null);
  return timed ? lines.filter((line) => line.at !== null).sort((a, b) => a.at - b.at) : lines;
}
