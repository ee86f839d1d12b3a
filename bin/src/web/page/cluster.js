// The nodes as the last status told them, what happened to them since the page was opened, and
// the colour of each. A node keeps its colour for as long as the page lives.
//
// Emits `change`.

/** As many as there are colours in base.css. */
const HUES = 8;
const HISTORY_MAX = 30;

export class Cluster extends EventTarget {
  nodes = [];
  ring = [];
  songs = 0;
  missing = 0;
  alert = null;
  roleChange = null;
  /** Latest first: `{ at, what, node, role, was }`. */
  history = [];
  /** Whether the server's events reach the page; null before the first try. */
  contact = null;
  #hues = new Map();
  #known = false;

  apply(status) {
    if (!Array.isArray(status?.nodes)) return;
    const nodes = status.nodes.filter((node) => node?.id);
    this.#compare(nodes);
    this.nodes = nodes.sort((a, b) => order(a) - order(b) || natural(a.address, b.address));
    for (const node of this.nodes) if (node.role === 'data') this.hue(node.address);
    this.ring = Array.isArray(status.ring) ? status.ring : [];
    this.songs = status.songs ?? 0;
    this.missing = status.copies_missing ?? 0;
    this.alert = status.last_alert ?? null;
    this.roleChange = status.last_switch ?? null;
    this.#known = true;
    this.dispatchEvent(new Event('change'));
  }

  setContact(contact) {
    if (this.contact === contact) return;
    this.contact = contact;
    this.dispatchEvent(new Event('change'));
  }

  find(key) {
    return this.nodes.find((node) => node.id === key || node.address === key) ?? null;
  }

  /** The address without its port, where that is enough to tell nodes apart. */
  name(address) {
    const host = hostOf(address);
    const same = this.nodes.filter((node) => hostOf(node.address) === host);
    return same.length > 1 ? address : host;
  }

  /** A number from 1 to 8. */
  hue(address) {
    if (!this.#hues.has(address)) this.#hues.set(address, (this.#hues.size % HUES) + 1);
    return this.#hues.get(address);
  }

  isDown(address) {
    const state = this.find(address)?.state;
    return state === 'dead' || state === 'suspect';
  }

  #compare(nodes) {
    if (!this.#known) return;
    const before = new Map(this.nodes.map((node) => [node.id, node]));
    for (const node of nodes) {
      const was = before.get(node.id);
      before.delete(node.id);
      if (!was) this.#note('new', node);
      else if (was.state !== node.state) this.#note(node.state, node);
      if (was && was.role !== node.role) this.#note('role', node, was.role);
    }
    for (const node of before.values()) this.#note('gone', node);
  }

  #note(what, node, was) {
    this.history.unshift({ at: new Date(), what, address: node.address, role: node.role, was });
    this.history.length = Math.min(this.history.length, HISTORY_MAX);
  }
}

const hostOf = (address) => String(address ?? '').replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
const order = (node) => ['data', 'router', 'dns'].indexOf(node.role);
const natural = (a, b) => String(a).localeCompare(String(b), 'en', { numeric: true });
