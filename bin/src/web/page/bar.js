// The player bar: what plays, its buttons, and the sentence that says where the music comes from.
// It shows; whatever is pressed goes to main.js.

import { downloadUrl } from './api.js';
import { fillCover } from './covers.js';
import { $, el, setIcon } from './dom.js';
import { label, t } from './words.js';

export class Bar {
  #parts;
  #said = '';

  /** `parts`: player, queue, stars, sources, cluster, strip. */
  constructor(parts) {
    this.#parts = parts;
  }

  /** Another song, or more known of it. */
  song() {
    const { player, stars } = this.#parts;
    const { song } = player;
    $('now-title').textContent = song ? song.title || t('untitled') : t('nothing');
    $('now-artist').textContent = song ? song.artist || t('unknownArtist') : '';
    fillCover($('now-cover'), song, { lazy: false });
    const starred = Boolean(song && stars.has(song.id));
    $('star').disabled = !song;
    $('star').setAttribute('aria-pressed', String(starred));
    label($('star'), t(starred ? 'unstar' : 'star'));
    this.#download(song);
    this.source();
  }

  state() {
    const { player, queue } = this.#parts;
    const { playing, song } = player;
    const waits = playing && player.audio.readyState < 3;
    setIcon($('play'), playing ? 'pause' : 'play');
    $('play').querySelector('span').textContent = t(playing ? 'pause' : 'play');
    $('play').classList.toggle('waits', waits);
    $('stop').disabled = player.wish === 'stopped';
    $('previous').disabled = !song;
    $('next').disabled = !song;
    setIcon($('mute'), player.muted || player.volume === 0 ? 'muted' : 'volume');
    $('mute').setAttribute('aria-pressed', String(player.muted));
    $('volume').value = player.muted ? 0 : Math.round(player.volume * 100);
    $('volume').setAttribute('aria-valuetext', `${$('volume').value} %`);
    $('volume').style.setProperty('--share', `${$('volume').value}%`);
    $('shuffle').setAttribute('aria-pressed', String(queue.shuffle));
    $('repeat').setAttribute('aria-pressed', String(queue.repeat !== 'off'));
    label($('repeat'), t({ off: 'repeatOff', all: 'repeatAll', one: 'repeatOne' }[queue.repeat]));
    $('repeat-one').hidden = queue.repeat !== 'one';
    const title = song ? `${song.title || t('untitled')} – ${song.artist || t('unknownArtist')}` : '';
    document.title = playing && song ? `${title} · dispotify` : 'dispotify';
  }

  /** Which node sings, who is down; or what went wrong. Sets the page's accent to that node's colour. */
  source() {
    const { player, sources, cluster, strip } = this.#parts;
    const { song, trouble } = player;
    const heard = sources.of(song?.id);
    const from = heard.from.get(strip.at(player.position)) ?? (player.wish === 'stopped' ? null : heard.last);
    const hue = !song || !from ? '' : from === 'cache' ? 'cache' : String(cluster.hue(from));
    document.documentElement.dataset.source = hue;
    const words = trouble ? this.#trouble(trouble, song) : this.#from(from);
    const down = trouble || !song || player.wish === 'stopped' ? '' : this.#lost(heard, from);
    const said = `${words}|${down}|${hue}|${Boolean(trouble)}`;
    if (said === this.#said) return;
    this.#said = said;
    const parts = [];
    if (words) parts.push(el('span.source-dot', { 'data-hue': trouble ? 'none' : hue }), el('span.source-words', { textContent: words }));
    if (down) parts.push(el('span.source-lost', { textContent: `${words ? ', ' : ''}${down}` }));
    $('source').classList.toggle('troubled', Boolean(trouble));
    $('source').replaceChildren(...parts);
  }

  #from(from) {
    const { player, cluster } = this.#parts;
    if (!player.song || player.wish === 'stopped') return '';
    if (!from) return player.playing ? t('waitingFragment') : '';
    return from === 'cache' ? t('fromCache') : t('from', cluster.name(from));
  }

  /** Holders of this song that do not answer: heard while fetching, or known from the status. */
  #lost(heard, from) {
    const { player, cluster } = this.#parts;
    const recovered = (address) => cluster.find(address)?.state === 'alive' || cluster.find(address)?.state === 'full';
    const lost = new Set([...heard.lost].filter((address) => !recovered(address)));
    for (const holder of player.details?.holders ?? []) if (cluster.isDown(holder)) lost.add(holder);
    // What is heard may have come before its node died.
    const since = lost.delete(from) && cluster.isDown(from) ? [t('sinceDown')] : [];
    if (lost.size) since.push(t('areDown', [...lost].map((address) => cluster.name(address))));
    return since.join(', ');
  }

  #trouble(trouble, song) {
    if (trouble.kind === 'away') return trouble.seconds >= 1 ? t('away', trouble.seconds) : t('awayNow');
    return t(trouble.kind, song?.format || '?');
  }

  #download(song) {
    const link = $('download');
    if (!song) {
      link.removeAttribute('href');
      return;
    }
    link.removeAttribute('aria-disabled');
    link.href = downloadUrl(song.id);
    link.setAttribute('download', '');
  }
}
