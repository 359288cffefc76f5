// Keeps the page current. The server renders everything; here its parts are put into their places.

const SILENCE = 30_000; // ms without a sign of life (the server gives one every 10 s) until the connection counts as lost
const AGAIN_AFTER = 2_000; // ms

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
    // A connection that breaks is renewed by the browser; one that is refused is not.
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, AGAIN_AFTER);
  });
}

setInterval(() => {
  if (new Date() - heard > SILENCE) {
    lost();
    heard = new Date();
    connect();
  }
}, 1_000);

localize();
connect();
