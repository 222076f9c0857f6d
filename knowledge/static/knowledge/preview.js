// Opens the text at the cited place.
const cited = document.querySelector(".preview-text mark");
if (cited) {
    cited.tabIndex = -1;
    cited.scrollIntoView({ block: "center" });
    cited.focus({ preventScroll: true });
}
