// Addresses: each view has one behind `#`, so that it can be bookmarked, and the back button leads
// to where one was, at the height at which one was.

const KEPT_MAX = 100;

export const to = {
  home: () => '#/',
  albums: () => '#/albums',
  artists: () => '#/artists',
  genres: () => '#/genres',
  songs: () => '#/songs',
  album: (id) => `#/album/${id}`,
  artist: (id) => `#/artist/${id}`,
  genre: (name) => `#/genre/${encodeURIComponent(name)}`,
  year: (year) => `#/year/${encodeURIComponent(year)}`,
  search: (words) => `#/search/${encodeURIComponent(words)}`,
};

/** `{ view, what }` of an address; whatever is no address is the way home. */
export function parse(hash) {
  const [, view = '', what = ''] = /^#\/([a-z]*)(?:\/(.*))?$/.exec(hash) ?? [];
  if (view === '' || !(view in to)) return { view: 'home', what: '' };
  try {
    return { view, what: decodeURIComponent(what) };
  } catch {
    return { view: 'home', what: '' };
  }
}

/** Follows the address. Emits `go` with `{ view, what, height, byUser }` in `detail`. */
export class Address extends EventTarget {
  #heights = new Map();
  #key = 0;
  #serial = Date.now();
  #height;

  /** `height`: how far the present view is scrolled. */
  constructor(height) {
    super();
    this.#height = height;
    history.scrollRestoration = 'manual';
    addEventListener('popstate', () => this.#arrive(true));
  }

  get here() {
    return parse(location.hash);
  }

  begin() {
    this.#arrive(false);
  }

  /** To another view; `replace` leaves no way back to the present one. */
  go(hash, { replace = false } = {}) {
    if (hash === location.hash) return;
    if (!replace) {
      location.hash = hash;
      return;
    }
    this.#keep();
    history.replaceState({ key: this.#key }, '', hash);
    this.#tell(0, true);
  }

  #keep() {
    this.#heights.set(this.#key, this.#height());
    if (this.#heights.size > KEPT_MAX) this.#heights.delete(this.#heights.keys().next().value);
  }

  #arrive(byUser) {
    this.#keep();
    this.#key = history.state?.key ?? 0;
    if (!this.#key) {
      this.#serial += 1;
      this.#key = this.#serial;
      history.replaceState({ key: this.#key }, '');
    }
    this.#tell(this.#heights.get(this.#key) ?? 0, byUser);
  }

  #tell(height, byUser) {
    this.dispatchEvent(new CustomEvent('go', { detail: { ...this.here, height, byUser } }));
  }
}
