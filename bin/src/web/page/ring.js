// The picture of the ring: data nodes and routers in its order, DNS nodes within, and in the
// middle whoever listens. A node that dies leaves the circle and the others close the gap; a
// fragment travels from its node to the middle.

import { $, still, svg } from './dom.js';
import { t } from './words.js';

const CENTRE = { x: 180, y: 142 };
const RADIUS = 104;
const OUTSIDE = 26;
const INNER = 46;
/** With more nodes than this their names would lie on each other. */
const NAMES_MAX = 12;
/** A fast server sends dozens of fragments at once; a few are picture enough. */
const PACKETS_MAX = 8;

export class Ring {
  #cluster;
  #shapes = new Map();
  #layers;
  #current = null;

  constructor(cluster) {
    this.#cluster = cluster;
    const orbit = svg('circle.ring-line', { cx: CENTRE.x, cy: CENTRE.y, r: RADIUS });
    const flow = svg('circle.ring-flow', { cx: CENTRE.x, cy: CENTRE.y, r: RADIUS, pathLength: 120 });
    const beam = svg('line.beam', { x1: CENTRE.x, y1: CENTRE.y, x2: CENTRE.x, y2: CENTRE.y });
    const packets = svg('g');
    const listener = svg('g.listener', {},
      svg('circle', { cx: CENTRE.x, cy: CENTRE.y, r: 19 }),
      svg('use', { href: '#i-song', x: CENTRE.x - 11, y: CENTRE.y - 11, width: 22, height: 22 }));
    const nodes = svg('g');
    this.#layers = { beam, packets, nodes };
    $('ring').append(orbit, flow, beam, packets, listener, nodes);
    cluster.addEventListener('change', () => this.draw());
  }

  draw() {
    const places = this.#places();
    for (const [id, shape] of this.#shapes) {
      if (places.has(id)) continue;
      this.#shapes.delete(id);
      shape.classList.add('leaving');
      setTimeout(() => shape.remove(), 800);
    }
    for (const [id, place] of places) this.#put(id, place);
    $('ring').classList.toggle('crowded', places.size > NAMES_MAX);
    $('ring').classList.toggle('stale', this.#cluster.contact === false);
    this.#aim();
  }

  /** The node that is heard at this moment, or null. */
  hear(address) {
    this.#current = address;
    this.#aim();
  }

  /** A fragment came from this node. */
  packet(address) {
    const from = this.#cluster.find(address);
    const place = from && this.#shapes.get(from.id)?.place;
    if (!place || still.matches || document.hidden || this.#layers.packets.children.length >= PACKETS_MAX) return;
    const dot = svg('circle.packet', { r: 5, 'data-hue': this.#cluster.hue(address) });
    this.#layers.packets.append(dot);
    const move = (point) => ({ transform: `translate(${point.x}px, ${point.y}px)` });
    const way = dot.animate([move(place), move(CENTRE)], { duration: 700, easing: 'cubic-bezier(.5,0,.4,1)' });
    way.finished.then(() => dot.remove(), () => dot.remove());
  }

  #places() {
    const { nodes, ring } = this.#cluster;
    const inRing = nodes.filter((node) => node.role !== 'dns');
    const at = (node) => {
      const index = ring.indexOf(node.id);
      return index < 0 ? Infinity : index;
    };
    // Without an order from the server, by identity: that is the ring's own order.
    inRing.sort((a, b) => at(a) - at(b) || (a.id < b.id ? -1 : 1));
    const alive = inRing.filter((node) => node.state !== 'dead');
    const places = new Map();
    const angles = new Map();
    alive.forEach((node, n) => angles.set(node.id, -90 + (360 * n) / alive.length));
    const gaps = alive.map((_, n) => -90 + (360 * (n + 0.5)) / alive.length);
    for (const node of inRing) {
      const angle = angles.get(node.id) ?? this.#gap(node, inRing, gaps);
      places.set(node.id, { node, angle, ...polar(angle, node.state === 'dead' ? RADIUS + OUTSIDE : RADIUS) });
    }
    const names = nodes.filter((node) => node.role === 'dns');
    names.forEach((node, n) => {
      const angle = 90 + (n - (names.length - 1) / 2) * 64;
      places.set(node.id, { node, angle, ...polar(angle, INNER) });
    });
    return places;
  }

  /** The dead stand outside, between two of the living, near where they last stood in the circle. */
  #gap(node, inRing, gaps) {
    const kept = this.#shapes.get(node.id)?.angle ?? -90 + (360 * inRing.indexOf(node)) / inRing.length;
    const away = (angle) => Math.abs(((angle - kept + 540) % 360) - 180);
    const [nearest = kept] = gaps.sort((a, b) => away(a) - away(b)).splice(0, 1);
    return nearest;
  }

  #put(id, place) {
    const { node } = place;
    let shape = this.#shapes.get(id);
    if (!shape) {
      shape = svg('g.node', {}, svg('title'), svg('g.body'), svg('text.node-name', { y: 29 }));
      this.#shapes.set(id, shape);
      this.#layers.nodes.append(shape);
    }
    const role = ['data', 'router', 'dns'].includes(node.role) ? node.role : 'router';
    if (shape.dataset.role !== role) shape.querySelector('.body').replaceChildren(...BODIES[role]());
    shape.dataset.role = role;
    shape.dataset.state = node.state;
    if (role === 'data') shape.dataset.hue = this.#cluster.hue(node.address);
    else delete shape.dataset.hue;
    shape.place = { x: place.x, y: place.y };
    shape.angle = place.angle;
    shape.style.transform = `translate(${place.x}px, ${place.y}px)`;
    const name = this.#cluster.name(node.address);
    shape.querySelector('.node-name').textContent = name;
    shape.querySelector('title').textContent = t('nodeLabel', name, t(`role_${node.role}`), t(`state_${node.state}`));
  }

  /** The beam from the node that is heard to the listener. */
  #aim() {
    const { beam } = this.#layers;
    const node = this.#current && this.#cluster.find(this.#current);
    const place = node && node.state !== 'dead' && this.#shapes.get(node.id)?.place;
    beam.classList.toggle('on', Boolean(place));
    for (const shape of this.#shapes.values()) shape.classList.remove('heard');
    if (!place) return;
    this.#shapes.get(node.id).classList.add('heard');
    beam.dataset.hue = this.#cluster.hue(node.address);
    beam.setAttribute('x2', place.x);
    beam.setAttribute('y2', place.y);
  }
}

const polar = (degrees, radius) => {
  const angle = (degrees * Math.PI) / 180;
  return { x: CENTRE.x + radius * Math.cos(angle), y: CENTRE.y + radius * Math.sin(angle) };
};

const cross = () => svg('path.cross', { d: 'M-4.5-4.5l9 9m0-9l-9 9' });

const BODIES = {
  data: () => [svg('circle.halo', { r: 19 }), svg('circle.shell', { r: 12.5 }), svg('circle.core', { r: 4 }), cross()],
  router: () => [svg('rect.shell', { x: -10, y: -10, width: 20, height: 20, rx: 5 }), svg('path.arrows', { d: 'M-5-2.5h9m-3-3 3 3M5 3h-9m3 3-3-3' }), cross()],
  dns: () => [svg('path.shell', { d: 'M0-11 10.5 0 0 11-10.5 0z' }), cross()],
};
