// Comfort only: the page works without it. One side per photo, and never too many.
"use strict";

const form = document.getElementById("examples");
const most = Number(form.dataset.most);
const count = document.getElementById("count");
const sides = ["liked", "disliked"];

const boxes = (side) => [...form.querySelectorAll(`input[name="${side}"]`)];
const files = (side) => form.elements[`${side}_files`].files.length;
const chosen = (side) => boxes(side).filter((box) => box.checked).length + files(side);

function refresh() {
  for (const side of sides) {
    const full = chosen(side) >= most;
    for (const box of boxes(side)) box.disabled = full && !box.checked;
  }
  count.textContent =
    `${chosen("liked")} of ${most} liked, ${chosen("disliked")} of ${most} not liked`;
}

form.addEventListener("change", ({ target }) => {
  if (target.type === "checkbox" && target.checked) {
    const [other] = sides.filter((side) => side !== target.name);
    const twin = boxes(other).find((box) => box.value === target.value);
    if (twin) twin.checked = false;
  }
  refresh();
});
// A browser that goes back restores the choice after this script has run.
window.addEventListener("pageshow", refresh);
refresh();
