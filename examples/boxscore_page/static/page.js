// Keeps the page up to date. The server renders the HTML; this script replaces the parts that have changed.

const HEARTBEAT_TIMEOUT_MS = 30_000; // the server sends a heartbeat every 10 s
const RETRY_DELAY_MS = 2_000;

const connection = document.getElementById("connection");
let heard = new Date();
let source;

function show(html) {
  const shown = document.getElementById("game");
  const game = document.adoptNode(new DOMParser().parseFromString(html, "text/html").getElementById("game"));
  const parts = [...game.children];
  const same = parts.length === shown.children.length && parts.every((part, i) => part.id === shown.children[i].id);
  if (!same) {
    shown.replaceChildren(...parts);
  } else {
    parts.forEach((part, i) => part.isEqualNode(shown.children[i]) || shown.children[i].replaceWith(part));
  }
  if (game.dataset.announcement !== shown.dataset.announcement) {
    document.getElementById("announcement").textContent = game.dataset.announcement;
  }
  Object.assign(shown.dataset, game.dataset);
  localize();
}

function localize() {
  document.title = document.getElementById("game").dataset.title;
  for (const time of document.querySelectorAll("time[datetime]")) {
    time.textContent = new Date(time.dateTime).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  }
}

function alive() {
  heard = new Date();
  connection.hidden = true;
}

function lost() {
  if (connection.hidden) {
    connection.querySelector("time").dateTime = heard.toISOString();
    localize();
    connection.hidden = false;
  }
}

function connect() {
  source?.close();
  source = new EventSource("events");
  source.addEventListener("alive", alive);
  source.addEventListener("message", (event) => {
    alive();
    show(event.data);
  });
  source.addEventListener("error", () => {
    lost();
    // The browser reconnects after a broken connection, but not after a refused one.
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, RETRY_DELAY_MS);
  });
}

setInterval(() => {
  if (new Date() - heard > HEARTBEAT_TIMEOUT_MS) {
    lost();
    heard = new Date();
    connect();
  }
}, 1_000);

localize();
connect();
