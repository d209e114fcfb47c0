(function () {
  "use strict";
  var tools = document.getElementById("tools"), box = document.getElementById("filter");
  var bad = document.getElementById("bad"), count = document.getElementById("count");
  var calls = Array.prototype.slice.call(document.querySelectorAll("details.call"));
  var texts = new Map();
  var timer = 0;

  function text(element) {
    var known = texts.get(element);
    if (known === undefined) {
      known = element.textContent.toLowerCase();
      texts.set(element, known);
    }
    return known;
  }
  /* How many rows fit; the words may be some of the command's, some of the row's. */
  function rows(parent, words, head) {
    var fit = 0;
    Array.prototype.forEach.call(parent.querySelectorAll("tbody tr"), function (row) {
      row.hidden = !words.every(function (word) { return head.indexOf(word) >= 0 || text(row).indexOf(word) >= 0; });
      fit += row.hidden ? 0 : 1;
    });
    return fit;
  }
  function apply() {
    var words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    var only = bad.getAttribute("aria-pressed") === "true", shown = 0;
    calls.forEach(function (call) {
      var head = text(call.querySelector("summary"));
      var keep = words.every(function (word) { return head.indexOf(word) >= 0; });
      var fit = rows(call, words, head);
      call.hidden = (!keep && fit === 0) || (only && !call.classList.contains("bad"));
      shown += call.hidden ? 0 : 1;
    });
    Array.prototype.forEach.call(document.querySelectorAll("table.list"), function (table) {
      rows(table, words, "");
    });
    count.textContent = shown === calls.length ? "" : shown + " of " + calls.length + " calls";
  }
  function all(open) {
    calls.forEach(function (call) { if (!call.hidden) call.open = open; });
  }
  box.addEventListener("input", function () {
    clearTimeout(timer);
    timer = setTimeout(apply, 120);
  });
  bad.addEventListener("click", function () {
    bad.setAttribute("aria-pressed", bad.getAttribute("aria-pressed") === "true" ? "false" : "true");
    apply();
  });
  document.getElementById("open").addEventListener("click", function () { all(true); });
  document.getElementById("close").addEventListener("click", function () { all(false); });
  tools.hidden = false;
})();
