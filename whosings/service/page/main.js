// The page: who may do what here, and which view is shown.

import { Api } from "./api.js";
import { el, icon, put } from "./dom.js";
import { faultOf } from "./faults.js";
import { refuseOtherDrops } from "./files.js";
import { findView } from "./find.js";
import { groupsView } from "./groups.js";
import { identifyView } from "./identify.js";
import { libraryView } from "./library.js";
import { oneSoundAtATime } from "./player.js";
import { recordingView } from "./recording.js";
import { historyView, reviewView } from "./review.js";
import { singersView } from "./singers.js";
import { Songs } from "./songs.js";
import { tokenView } from "./token.js";
import { verifyView } from "./verify.js";
import { counted } from "./words.js";

const WHO = "whosings.who";

/** Views by their path; `tab` is the one of the navigation to which they belong, `needs` what a token must allow. */
const VIEWS = [
  { path: /^identify$/, tab: "identify", title: "Who sings?", needs: "read", show: identifyView },
  { path: /^verify$/, tab: "identify", title: "One singer in two songs?", needs: "read", show: verifyView },
  { path: /^singers$/, tab: "singers", title: "Singers", needs: "read", show: singersView },
  { path: /^library$/, tab: "library", title: "Library", needs: "read", show: libraryView },
  { path: /^library\/(\d+)$/, tab: "library", title: "Recording", needs: "read", show: recordingView },
  { path: /^find$/, tab: "library", title: "Find by voice", needs: "read", show: findView },
  { path: /^groups$/, tab: "library", title: "Voices without a name", needs: "read", show: groupsView },
  { path: /^review$/, tab: "review", title: "Review", needs: "read", show: reviewView },
  { path: /^review\/history$/, tab: "review", title: "History", needs: "read", show: historyView },
];

const TABS = [
  { tab: "identify", text: "Identify", symbol: "wave", needs: "read" },
  { tab: "singers", text: "Singers", symbol: "people", needs: "read" },
  { tab: "library", text: "Library", symbol: "shelf", needs: "read" },
  { tab: "review", text: "Review", symbol: "tick", needs: "read" },
];

class Page {
  constructor() {
    this.main = document.getElementById("main");
    this.navigation = document.getElementById("navigation");
    this.api = new Api(() => this.refused());
    this.about = null;
    this.songs = null;
    this.leave = null;
  }

  /** The reader's name, for the log of decisions. */
  get who() {
    return sessionStorage.getItem(WHO) ?? "";
  }

  set who(name) {
    sessionStorage.setItem(WHO, name);
  }

  /** The reader's name as requests give it; a token says it by itself. */
  get by() {
    return this.about.needs_token ? null : this.who || null;
  }

  may(scope) {
    return this.about.may.includes(scope);
  }

  /** Somebody is enrolled who was not, or the other way round. */
  async refresh() {
    try {
      this.about = await this.api.get("about");
      this.foot();
    } catch {
      /* what is shown is a little old */
    }
  }

  /** Ask the service what it is and what the reader may do; then show what the address says. */
  async begin() {
    try {
      this.about = await this.api.get("about");
    } catch (error) {
      if (error.status !== 401)
        put(
          this.main,
          el("h1", {}, "whosings"),
          faultOf(error, () => this.begin()),
        );
      return;
    }
    this.foot();
    if (this.about.needs_token && !this.about.may.length) {
      this.askToken(Boolean(this.api.token));
      return;
    }
    this.songs ??= new Songs(this.api, this.about);
    this.navigation.hidden = false;
    await this.show();
  }

  /** A request came back because of its token. */
  refused() {
    const had = Boolean(this.api.token);
    this.api.token = null;
    this.askToken(had);
  }

  askToken(wrong) {
    this.leave?.abort();
    this.navigation.hidden = true;
    document.title = "Token · whosings";
    put(
      this.main,
      tokenView(wrong, (token) => {
        this.api.token = token;
        this.begin();
      }),
    );
    this.main.querySelector("input").focus();
  }

  async show() {
    const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
    const view = VIEWS.find((one) => one.path.test(path)) ?? VIEWS[0];
    this.leave?.abort();
    this.leave = new AbortController();
    const { signal } = this.leave;
    this.tabs(view.tab);
    document.title = `${view.title} · whosings`;
    if (!this.may(view.needs)) {
      put(
        this.main,
        el("h1", {}, view.title),
        el("p", { class: "box" }, icon("warn"), el("span", {}, "The token that was given may not do this.")),
      );
      return;
    }
    const [, ...parts] = path.match(view.path) ?? [];
    put(this.main, view.show(this, { signal, parts, query: new URLSearchParams(query) }));
  }

  tabs(current) {
    const items = TABS.filter((one) => this.may(one.needs)).map((one) =>
      el(
        "a",
        {
          href: `#/${one.tab}`,
          class: "tab",
          "aria-current": one.tab === current ? "page" : null,
        },
        icon(one.symbol),
        el("span", {}, one.text),
      ),
    );
    put(this.navigation, items);
  }

  foot() {
    const { version, encoder, notice, singers, needs_token: needsToken } = this.about;
    const facts = [
      `whosings ${version}`,
      `encoder ${encoder}`,
      Number.isInteger(singers) ? `${counted(singers, "singer")} enrolled` : null,
    ];
    const leave =
      needsToken && this.api.token
        ? el("button", { type: "button", class: "button quiet small", onclick: forget }, "Forget the token")
        : null;
    put(
      document.getElementById("foot"),
      el("p", { class: "notice" }, notice),
      el("p", {}, facts.filter(Boolean).join(" · ")),
      leave,
    );
  }

  /** Another view: its heading takes the focus, so that it is read. */
  async changed() {
    if (!this.songs || this.navigation.hidden) return;
    await this.show();
    scrollTo(0, 0);
    const heading = this.main.querySelector("h1");
    heading?.setAttribute("tabindex", "-1");
    heading?.focus({ preventScroll: true });
  }
}

/** Nothing of this visit stays in the browser. */
function forget() {
  sessionStorage.clear();
  location.reload();
}

const page = new Page();
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address names the view
  page.main.focus();
});
addEventListener("hashchange", () => page.changed());
oneSoundAtATime();
refuseOtherDrops();
page.begin();
