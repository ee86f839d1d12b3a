// A long list of the server, of which only the parts that are looked at are fetched: a page at a
// time, one question at a time, the latest wish first. What is far from the last wish is forgotten.
//
// Emits `change` when entries have come or gone, and `failed` (with the error in `detail`).

/** Entries of one question. */
const PAGE = 100;
/** Entries in memory: many windows full. */
const KEPT_MAX = 4000;

export class Pages extends EventTarget {
  total = null;
  #ask;
  #items = [];
  #held = 0;
  /** Where the server can go on: the index of an entry, and the word by which it is asked for. */
  #marks = new Map([[0, null]]);
  #byNumber = true;
  #wish = null;
  #question = new AbortController();
  #busy = null;

  /** `ask({ after, from, limit }, signal)` gives `{ items, total, next }`. */
  constructor(ask) {
    super();
    this.#ask = ask;
  }

  /** A list that is already here. */
  static of(items) {
    const pages = new Pages(async () => ({ items: [], total: items.length, next: null }));
    pages.#take(0, { items, total: items.length, next: null });
    return pages;
  }

  get(index) {
    return this.#items[index] ?? null;
  }

  /** The index of the first entry here for which this is true, or -1. */
  find(wanted) {
    let found = -1;
    this.#items.some((item, index) => wanted(item) && ((found = index), true));
    return found;
  }

  /** Entries that are here, in order. */
  get here() {
    return this.#items.filter(Boolean);
  }

  /** The beginning, or the reason why it does not come. */
  async begin() {
    if (this.total === null) await this.#load(0, { after: null });
    return this;
  }

  /** Has these entries come, the last one included. */
  want(first, last) {
    this.#wish = [Math.max(0, first), Math.min(last, (this.total ?? 1) - 1)];
    this.#busy ??= this.#work().finally(() => {
      this.#busy = null;
    });
    return this.#busy;
  }

  /** Takes an entry out that the server no longer has. */
  remove(wanted) {
    const at = this.find(wanted);
    if (at < 0) return;
    this.#items.splice(at, 1);
    const marks = [...this.#marks].map(([index, after]) => [index > at ? index - 1 : index, after]);
    this.#marks = new Map(marks);
    this.#held -= 1;
    this.total -= 1;
    this.dispatchEvent(new Event('change'));
  }

  /** Ends all questions. */
  end() {
    this.#question.abort();
  }

  async #work() {
    for (;;) {
      const hole = this.#hole();
      if (hole < 0 || this.#question.signal.aborted) return;
      try {
        await this.#load(...this.#way(hole));
      } catch (error) {
        if (error.name !== 'AbortError') this.dispatchEvent(new CustomEvent('failed', { detail: error }));
        return;
      }
    }
  }

  #hole() {
    const [first, last] = this.#wish;
    for (let at = first; at <= last; at += 1) if (!this.#items[at]) return at;
    return -1;
  }

  /** From the last known place before a hole; by number, if that is far away. */
  #way(hole) {
    let at = 0;
    for (const index of this.#marks.keys()) if (index <= hole && index > at) at = index;
    if (this.#byNumber && hole - at >= PAGE) {
      const from = Math.max(0, hole - PAGE / 2);
      return [from, { from }];
    }
    return [at, { after: this.#marks.get(at) }];
  }

  async #load(at, place) {
    const { signal } = this.#question;
    try {
      this.#take(at, await this.#ask({ ...place, limit: PAGE }, signal));
    } catch (error) {
      // Routers of an earlier version know no numbers: then the way leads through every page.
      if (place.from === undefined || error.name === 'AbortError' || !error.status) throw error;
      this.#byNumber = false;
    }
  }

  #take(at, { items, total, next }) {
    items.forEach((item, n) => {
      if (!this.#items[at + n]) this.#held += 1;
      this.#items[at + n] = item;
    });
    if (next) this.#marks.set(at + items.length, next);
    // A page that ends the list says best how long it is.
    this.total = next ? Math.max(total, at + items.length + 1) : at + items.length;
    this.#forget(at);
    this.dispatchEvent(new Event('change'));
  }

  #forget(near) {
    if (this.#held <= KEPT_MAX) return;
    for (const key of Object.keys(this.#items)) {
      const index = Number(key);
      if (Math.abs(index - near) < KEPT_MAX / 2) continue;
      delete this.#items[index];
      this.#held -= 1;
    }
  }
}
