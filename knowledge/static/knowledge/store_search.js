// Says that a search is under way: it may ask a model on another server.
const form = document.getElementById("search");
form.addEventListener("submit", () => {
    const button = form.querySelector("button[data-busy]");
    button.textContent = button.dataset.busy;
    button.disabled = true;
});
window.addEventListener("pageshow", (event) => event.persisted && location.reload());
