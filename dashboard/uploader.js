// Sends one file by PUT. Everything that is shown goes in as text, never as markup.
export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  const root = parentElement.querySelector(".root");
  const state = (root.rowrelay ??= { request: null });
  state.data = data;
  state.tell = setTriggerValue;
  if (!root.firstChild) idle(root, state);
  return () => {};
}

function element(name, text, className) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function idle(root, state, trouble, again) {
  const zone = element("div", "", "zone");
  const input = document.createElement("input");
  input.type = "file";
  input.hidden = true;
  input.setAttribute("aria-label", "File to send");
  input.onchange = () => input.files[0] && send(root, state, input.files[0]);
  const choose = element("button", "Choose a file", "main");
  choose.type = "button";
  choose.onclick = () => input.click();
  const line = element("p", "Drop a file here, or ");
  line.append(choose);
  const most = size(state.data.most);
  zone.append(input, line, element("p", `CSV, also as .gz, up to ${most}. Nothing is sent before you say so.`, "hint"));
  if (trouble) {
    const box = element("div", trouble + " ", "trouble");
    box.setAttribute("role", "alert");
    if (again) {
      const retry = element("button", "Try again");
      retry.type = "button";
      retry.onclick = () => send(root, state, again);
      box.append(retry);
    }
    zone.append(box);
  }
  zone.ondragover = (event) => { event.preventDefault(); zone.classList.add("over"); };
  zone.ondragleave = () => zone.classList.remove("over");
  zone.ondrop = (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    const files = event.dataTransfer.files;
    if (files.length > 1) return idle(root, state, "One file at a time, please.");
    if (files[0]) send(root, state, files[0]);
  };
  root.replaceChildren(zone);
}

function send(root, state, file) {
  if (file.size > state.data.most)
    return idle(root, state, `${file.name} has ${size(file.size)}; up to ${size(state.data.most)} may be uploaded. ` +
      "Split it or compress it.");
  if (file.size === 0) return idle(root, state, `${file.name} is empty.`);
  const request = new XMLHttpRequest();
  const zone = element("div", "", "zone");
  const going = element("div", "", "going");
  const done = element("span", "", "done");
  done.setAttribute("aria-live", "off");
  const bar = document.createElement("progress");
  bar.max = 1;
  bar.value = 0;
  bar.setAttribute("aria-label", "Upload");
  const stop = element("button", "Cancel");
  stop.type = "button";
  stop.onclick = () => request.abort();
  going.append(element("span", file.name, "name"), done, stop, bar);
  zone.append(going);
  root.replaceChildren(zone);
  stop.focus();

  const begun = performance.now();
  const leaving = (event) => event.preventDefault();
  window.addEventListener("beforeunload", leaving);
  request.upload.onprogress = (event) => {
    const total = event.total || file.size;
    bar.value = event.loaded / total;
    const seconds = (performance.now() - begun) / 1000;
    const left = seconds > 1.5 && event.loaded < total ? `, ${time((total - event.loaded) * seconds / event.loaded)} left` : "";
    done.textContent = event.loaded < total ? `${size(event.loaded)} of ${size(total)}${left}` : "putting it away …";
  };
  request.onloadend = () => window.removeEventListener("beforeunload", leaving);
  request.onload = () => {
    if (request.status === 201) {
      root.replaceChildren();
      idle(root, state);
      state.tell("uploaded", JSON.parse(request.responseText));
    } else {
      idle(root, state, explain(request), file);
    }
  };
  request.onerror = () => idle(root, state, "The connection was lost, and nothing of the file was kept.", file);
  request.onabort = () => idle(root, state, "Cancelled. Nothing of the file was kept.", file);
  const { base, ticket } = state.data;
  request.open("PUT", `${base}/api/files/${encodeURIComponent(file.name)}?ticket=${encodeURIComponent(ticket)}`);
  request.setRequestHeader("Content-Type", "application/octet-stream");
  request.send(file);
}

function explain(request) {
  try {
    const problem = JSON.parse(request.responseText);
    return [problem.title, problem.hint].filter(Boolean).join(" ");
  } catch {
    return `The dashboard answered ${request.status}.`;
  }
}

function size(bytes) {
  const units = ["bytes", "kB", "MB", "GB"];
  let at = 0;
  while (bytes >= 1000 && at < 3) { bytes /= 1000; at += 1; }
  return `${new Intl.NumberFormat(undefined, { maximumFractionDigits: bytes < 100 && at ? 1 : 0 }).format(bytes)} ${units[at]}`;
}

function time(seconds) {
  return seconds < 90 ? `${Math.ceil(seconds)} s` : `${Math.ceil(seconds / 60)} min`;
}
