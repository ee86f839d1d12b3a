// Beside the list: tabs of ring, queue and lyrics, the nodes in words, and what happened to them. On a
// narrow window the same panels are views of their own.

import { $, el, size } from './dom.js';
import { has, t } from './words.js';

const state = (node) => (has(`state_${node.state}`) ? t(`state_${node.state}`) : node.state);
const role = (name) => (has(`role_${name}`) ? t(`role_${name}`) : name);

const PANELS = ['ring', 'queue', 'lyrics'];

export class Side {
  #cluster;
  #player;

  constructor(cluster, player) {
    this.#cluster = cluster;
    this.#player = player;
    cluster.addEventListener('change', () => this.draw());
    const tabs = PANELS.map((name) => $(`tab-${name}`));
    for (const tab of tabs) {
      tab.addEventListener('click', () => this.show(tab.id.slice(4)));
      tab.addEventListener('keydown', (event) => {
        if (!['ArrowLeft', 'ArrowRight'].includes(event.key)) return;
        event.preventDefault();
        const step = event.key === 'ArrowRight' ? 1 : tabs.length - 1;
        const other = tabs[(tabs.indexOf(tab) + step) % tabs.length];
        this.show(other.id.slice(4));
        other.focus();
      });
    }
    for (const button of document.querySelectorAll('[data-show]')) {
      button.addEventListener('click', () => this.view(button.dataset.show));
    }
    this.draw();
  }

  /** Which panel is open on a wide window. */
  show(which) {
    for (const name of PANELS) {
      const on = name === which;
      $(`tab-${name}`).setAttribute('aria-selected', String(on));
      $(`tab-${name}`).tabIndex = on ? 0 : -1;
      $(`panel-${name}`).hidden = !on;
    }
  }

  /** Which view a narrow window shows: the library, queue, lyrics or ring. */
  view(which) {
    document.body.dataset.view = which;
    for (const button of document.querySelectorAll('[data-show]')) {
      button.setAttribute('aria-pressed', String(button.dataset.show === which));
    }
    if (which !== 'songs') this.show(which);
  }

  toggleQueue() {
    this.toggle('queue');
  }

  /** A panel and back: to the ring on a wide window, to the library on a narrow one. */
  toggle(which) {
    const narrow = getComputedStyle(document.querySelector('.views')).display !== 'none';
    const open = narrow ? document.body.dataset.view === which : !$(`panel-${which}`).hidden;
    if (narrow) this.view(open ? 'songs' : which);
    else this.show(open ? 'ring' : which);
  }

  draw() {
    const { nodes } = this.#cluster;
    const [health, more, grade] = this.#health();
    $('health').textContent = health;
    $('health').dataset.grade = grade;
    $('health-more').textContent = more;
    $('nodes').replaceChildren(...nodes.map((node) => this.#node(node)));
    this.#history();
  }

  #health() {
    const { nodes, contact, missing, songs } = this.#cluster;
    if (contact === false) return [t('lostServer'), '', 'bad'];
    if (!nodes.length) return [t('noStatus'), '', 'wait'];
    const names = (wanted) => nodes.filter((node) => node.state === wanted).map((node) => this.#cluster.name(node.address));
    const dead = names('dead');
    const suspect = names('suspect');
    // As `dispotify status` says it: without missing copies, each song has as many as data nodes live, at most three.
    const keepers = nodes.filter((node) => node.role === 'data' && node.state !== 'dead').length;
    const copies = missing ? t('missingCopies', missing) : songs ? t('fullCopies', keepers) : '';
    const on = this.#player.playing ? t('goesOn') : '';
    if (dead.length) return [t('areDown', dead), [copies, on].filter(Boolean).join(' '), 'bad'];
    if (suspect.length) return [t('someSuspect', suspect), [copies, on].filter(Boolean).join(' '), 'warn'];
    const [sick] = names('sick');
    if (sick) return [t('is_sick', sick), [copies, on].filter(Boolean).join(' '), 'warn'];
    const full = names('full');
    if (full.length) return [t('areFull', full), [t('fullCure'), copies].filter(Boolean).join(' '), 'warn'];
    return [t('allWell', nodes.length), copies, 'good'];
  }

  #node(node) {
    const mark = el('span.node-mark', { 'data-role': node.role });
    if (node.role === 'data') mark.dataset.hue = this.#cluster.hue(node.address);
    const kept = node.role === 'data' ? `${t('count', node.songs ?? 0)}, ${size(node.bytes)}` : '';
    const row = el('li', { 'data-state': node.state }, mark,
      el('span.node-address', { textContent: this.#cluster.name(node.address) }),
      el('span.node-role', { textContent: role(node.role) }),
      el('span.node-kept', { textContent: kept }),
      el('span.node-state', { textContent: state(node) }));
    return row;
  }

  #history() {
    const { history } = this.#cluster;
    const told = [this.#alert(), this.#roleChange()].filter(Boolean).map((words) => el('li', {}, el('span', { textContent: words })));
    const rows = history.map((one) => {
      const name = this.#cluster.name(one.address);
      const words = has(`is_${one.what}`) ? t(`is_${one.what}`, name, role(one.role), role(one.was ?? '')) : `${name}: ${one.what}`;
      const time = one.at.toLocaleTimeString(document.documentElement.lang, { hour12: false });
      return el('li', {}, el('time', { textContent: time }), el('span', { textContent: words }));
    });
    $('history-title').hidden = rows.length + told.length === 0;
    $('history').replaceChildren(...told, ...rows);
  }

  #alert() {
    const { alert } = this.#cluster;
    const about = this.#named(alert, ['node', 'dead', 'about', 'id', 'subject', 'address']);
    const by = this.#named(alert, ['by', 'manager', 'raised_by', 'detector']);
    if (!about) return '';
    return by ? t('alertBy', about, by) : t('alertOf', about);
  }

  #roleChange() {
    const change = this.#cluster.roleChange;
    const about = this.#named(change, ['node', 'id', 'address']);
    const to = change?.to ?? change?.role;
    return about && typeof to === 'string' ? t('switchOf', about, role(to)) : '';
  }

  /** A node named in one of these fields, by identity or address. */
  #named(object, fields) {
    const field = fields.find((name) => typeof object?.[name] === 'string');
    if (!field) return '';
    const node = this.#cluster.find(object[field]);
    return node ? this.#cluster.name(node.address) : object[field].slice(0, 21);
  }
}
