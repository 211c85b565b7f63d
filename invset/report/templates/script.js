"use strict";
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// copy the command
for (const button of all(".copy")) {
  button.addEventListener("click", async () => {
    const code = button.parentElement.querySelector("code");
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch {  // a browser may refuse: the command is marked, ready for Ctrl-C
      getSelection().selectAllChildren(code);
      button.textContent = "Press Ctrl-C";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
}

// sort the grid
const grid = document.querySelector(".grid"), sort = document.getElementById("sort"), down = document.getElementById("down");
function arrange() {
  const key = sort.value, sign = down.checked ? -1 : 1, value = (item) => {
    const held = Number(item.getAttribute(`data-${key}`));
    return Number.isNaN(held) ? -1e300 : held;
  };
  const items = all("li", grid).sort((a, b) => sign * (value(a) - value(b)) || value(a) - value(b) || a.dataset.number - b.dataset.number);
  grid.append(...items);
}
if (sort) {
  for (const control of [sort, down]) control.addEventListener("change", arrange);
  if (sort.value !== "number" || down.checked) arrange();  // a browser keeps the choice when the page is loaded again
}

// frames where the activation is largest
const frames = document.getElementById("frames");
if (frames) {
  const draw = () => document.body.classList.toggle("unframed", !frames.checked);
  frames.addEventListener("change", draw);
  draw();
}

// enlarge a sample; the arrow keys go on in the order of the grid
const dialog = document.querySelector("dialog"), data = document.getElementById("samples");
if (dialog && data) {
  const samples = JSON.parse(data.textContent);
  const frame = dialog.querySelector(".frame"), picture = dialog.querySelector("img"), title = dialog.querySelector("h2"), facts = dialog.querySelector("dl");
  const order = () => all("#grid .sample").map((button) => button.dataset.sample);
  let current;
  const show = (number) => {
    const thumb = document.querySelector(`#grid [data-sample="${number}"] img`), sample = samples[number];
    current = String(number);
    picture.src = thumb.src;
    picture.alt = thumb.alt;
    const where = thumb.nextElementSibling;
    frame.hidden = !where;
    frame.style.cssText = where ? where.style.cssText : "";
    title.textContent = `Sample ${number}`;
    facts.replaceChildren();
    for (const [name, text] of sample.facts) add(name, text);
    if (sample.kin.length) {
      const links = sample.kin.map((other) => {
        const link = document.createElement("button");
        link.textContent = other;
        link.setAttribute("aria-label", `Sample ${other}`);
        link.addEventListener("click", () => show(other));
        return link;
      });
      add(sample.kin_name, ...links).className = "links";
    }
    const link = document.createElement("a");
    link.href = sample.file;
    link.textContent = sample.file;
    add("File", link);
  };
  const add = (name, ...content) => {
    const dt = document.createElement("dt"), dd = document.createElement("dd");
    dt.textContent = name;
    dd.append(...content);
    facts.append(dt, dd);
    return dd;
  };
  const move = (by) => {
    const numbers = order();
    show(numbers[(numbers.indexOf(current) + by + numbers.length) % numbers.length]);
  };
  for (const button of all(".sample")) {
    button.addEventListener("click", () => {
      show(button.dataset.sample);
      if (!dialog.open) dialog.showModal();
    });
  }
  dialog.querySelector(".previous").addEventListener("click", () => move(-1));
  dialog.querySelector(".next").addEventListener("click", () => move(1));
  dialog.querySelector(".close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      move(event.key === "ArrowLeft" ? -1 : 1);
      event.preventDefault();
    }
  });
  dialog.addEventListener("close", () => {  // back to the picture that was shown last
    const button = document.querySelector(`#grid [data-sample="${current}"]`);
    button.focus();
    button.scrollIntoView({ block: "nearest" });
  });
}
