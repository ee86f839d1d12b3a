// Puts the parts together: who hears whom. No part knows another but through here or through what
// it was given.

import * as api from './api.js';
import { Bar } from './bar.js';
import { Cluster } from './cluster.js';
import { $, el } from './dom.js';
import { Stars, read } from './keep.js';
import { attendKeys } from './keys.js';
import { List } from './list.js';
import { attendMenu, openMenu } from './menu.js';
import { Player } from './player.js';
import { Queue } from './queue.js';
import { QueueView } from './queue-view.js';
import { Ring } from './ring.js';
import { attendSession, placeSession, showSession } from './session.js';
import { Side } from './side.js';
import { Sources } from './sources.js';
import { Strip } from './strip.js';
import { Trash } from './trash.js';
import { Uploads } from './upload.js';
import { fillWords, t } from './words.js';

fillWords(document);

const stars = new Stars();
const queue = new Queue();
const cluster = new Cluster();
const sources = new Sources();
const player = new Player(...document.querySelectorAll('audio'));
const list = new List(stars);
const side = new Side(cluster, player);
const ring = new Ring(cluster);
const strip = new Strip(player, sources, cluster);
const bar = new Bar({ player, queue, stars, sources, cluster, strip });
const uploads = new Uploads();
const queueView = new QueueView(queue);
const trash = new Trash();

queue.follow = (song, byChance) => list.following(song, byChance);

// Deeds: what buttons, keys and the system's controls ask for.

function playEntry(entry) {
  if (entry) player.load(entry.song);
  else player.stop();
}

function playSong(song) {
  if (song.id === player.song?.id && player.wish !== 'stopped') toggle();
  else playEntry(queue.playNow(song));
}

function toggle() {
  if (player.playing) player.pause();
  else if (player.song) player.play();
  else if (queue.current) playEntry(queue.current);
  else playEntry(queue.advance(false));
}

function next() {
  const entry = queue.advance(false);
  if (entry) playEntry(entry);
}

/** To the beginning first, to the song before on the second press. */
function previous() {
  if (player.position > 3 || queue.index <= 0) player.seek(0);
  else playEntry(queue.back());
}

function star(song = player.song) {
  if (song) stars.toggle(song);
}

function mute() {
  player.setVolume(player.volume || 0.5, !player.muted);
}

const skip = (by) => player.seek(player.position + by);
const shuffle = () => queue.setShuffle(!queue.shuffle);
const repeat = () => queue.turnRepeat();

function songMenu({ song, ...place }) {
  const title = song.title || t('untitled');
  const starred = stars.has(song.id);
  openMenu([
    { icon: 'play', text: t('playNow'), run: () => playEntry(queue.playNow(song)) },
    { icon: 'next', text: t('playNext'), run: () => (queue.playNext(song), toast(t('addedNext', title))) },
    { icon: 'queue', text: t('addLast'), run: () => (queue.addLast(song), toast(t('addedLast', title))) },
    { icon: 'star', text: t(starred ? 'unstar' : 'star'), run: () => stars.toggle(song) },
    { icon: 'download', text: t('download'), href: api.downloadUrl(song.id) },
    ...(trash.allowed ? [{ icon: 'trash', text: t('remove'), run: () => remove(song) }] : []),
  ], place);
}

/** Into the trash, with a way back at hand. */
async function remove(song) {
  const title = song.title || t('untitled');
  try {
    const canGoBack = await api.remove(song.id);
    list.drop(song.id);
    trash.look();
    if (canGoBack) toast(t('removed', title), { text: t('undo'), run: () => undo(song) });
    else toast(t('removedForGood', title));
  } catch (error) {
    toast(error.message);
  }
}

async function undo(song) {
  try {
    await trash.restore(song.id);
    toast(t('restored', song.title || t('untitled')));
  } catch (error) {
    toast(error.message);
  }
}

let toastTimer = 0;
function toast(words, deed = null) {
  $('toast').replaceChildren(words);
  if (deed) {
    const button = el('button.toast-deed', { type: 'button', textContent: deed.text });
    button.addEventListener('click', () => {
      $('toast').classList.remove('shown');
      deed.run();
    });
    $('toast').append(button);
  }
  $('toast').classList.add('shown');
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => $('toast').classList.remove('shown'), deed ? 10000 : 3500);
}

// The list, the queue, the stars.

list.addEventListener('play', ({ detail }) => playSong(detail.song));
list.addEventListener('menu', ({ detail }) => songMenu(detail));
list.addEventListener('star', ({ detail }) => stars.toggle(detail.song));
queueView.addEventListener('jump', ({ detail }) => {
  if (detail === queue.current) toggle();
  else playEntry(queue.jump(detail));
});
queue.addEventListener('change', () => bar.state());
stars.addEventListener('change', () => {
  bar.song();
  list.refreshStars();
});

// The player.

let announced = null;
player.addEventListener('song', () => {
  const { song, details } = player;
  if (details) sources.learn(details.id, details.cached);
  bar.song();
  strip.draw();
  showSession(song);
  if (song.id === announced || !player.playing) return;
  announced = song.id;
  $('live').textContent = t('nowPlaying', song.title || t('untitled'), song.artist || t('unknownArtist'));
});
player.addEventListener('state', () => {
  bar.state();
  bar.source();
  side.draw();
  list.mark(player.song?.id ?? null, player.playing);
  placeSession(player);
  document.body.classList.toggle('sounding', player.playing);
  hearRing();
});
player.addEventListener('time', () => {
  strip.draw();
  bar.source();
  hearRing();
  placeSession(player);
  player.prepare(queue.peek(true));
});
// A cluster that cannot count it takes nothing from the music.
player.addEventListener('heard', () => api.heard(player.song.id).catch(() => {}));
player.addEventListener('trouble', () => {
  bar.source();
  if (player.trouble) $('live').textContent = $('source').textContent;
});
player.addEventListener('ended', () => {
  const entry = queue.advance(true);
  if (entry) player.load(entry.song);
  else player.stop();
});
strip.addEventListener('seek', ({ detail }) => player.seek(detail));

let heardRing = null;
function hearRing() {
  const from = player.playing ? sources.of(player.song?.id).from.get(strip.at(player.position)) : null;
  const address = from && from !== 'cache' ? from : null;
  if (address === heardRing) return;
  heardRing = address;
  ring.hear(address);
}

// The server's events.

sources.addEventListener('change', ({ detail }) => {
  if (detail.from !== 'cache') ring.packet(detail.from);
  if (detail.song !== player.song?.id) return;
  strip.tint();
  bar.source();
  hearRing();
});
cluster.addEventListener('change', () => {
  strip.tint();
  bar.source();
});
function meet(contact) {
  cluster.setContact(contact);
  player.contact = contact;
}

api.listen((what, body) => {
  if (what === 'status') cluster.apply(body);
  if (what === 'fragment') sources.hear(body);
  if (what === 'lost') meet(false);
  if (what !== 'open') return;
  const again = cluster.contact === false;
  meet(true);
  player.retryNow();
  if (again && !list.songs.length) list.load();
});

// Buttons.

const press = (id, deed) => $(id).addEventListener('click', deed);
press('play', toggle);
press('stop', () => {
  player.stop();
  $('live').textContent = t('stopped');
});
press('next', next);
press('previous', previous);
press('shuffle', shuffle);
press('repeat', repeat);
press('star', () => star());
press('mute', mute);
press('show-queue', () => side.toggleQueue());
press('load', async () => {
  await list.load();
  if (list.songs.length) toast(t('loaded', list.total));
});
$('volume').addEventListener('input', () => player.setVolume(Number($('volume').value) / 100));

let stored = 0;
uploads.addEventListener('stored', () => {
  clearTimeout(stored);
  stored = setTimeout(() => list.load(), 300);
});

let back = 0;
trash.addEventListener('changed', () => {
  clearTimeout(back);
  back = setTimeout(() => (list.load(), trash.look()), 300);
});

attendMenu();
attendKeys({
  play: toggle, back: () => skip(-10), on: () => skip(10), next, previous, mute, shuffle, repeat,
  star: () => star(), queue: () => side.toggleQueue(), search: () => (side.view('songs'), $('search').focus(), $('search').select()),
});
attendSession({
  resume: () => player.play(), pause: () => player.pause(), stop: () => player.stop(), next, previous,
  seek: (to) => player.seek(to), skip,
});

// What was there before the page was left: loaded, at its position, silent until a click.

const kept = read('position', null);
if (queue.current) {
  const same = kept?.id === queue.current.song.id;
  player.load(queue.current.song, { at: same && Number.isFinite(kept.at) ? kept.at : 0, play: false });
}
bar.song();
bar.state();
strip.draw();
list.load();
trash.look();
api.status().then((status) => cluster.apply(status), () => meet(false));
