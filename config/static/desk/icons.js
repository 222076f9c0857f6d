/* unfold's icons are words in a font ("arrow_back"), which a screen reader would read aloud: they are hidden from it.
   What says nothing but its icon gets a name first; one without a name here keeps its word, for that is better than none. */

"use strict";

const NAMES = { account_balance: "Home", search: "Search", more_horiz: "More actions", close: "Close" };

function hideIcon(icon) {
    const word = icon.textContent.trim();
    const around = icon.closest("a, button, [role=button]");
    if (around && around.textContent.trim() === word && !around.ariaLabel && !around.title && !around.hasAttribute("aria-labelledby")) {
        if (!(word in NAMES)) return;
        around.ariaLabel = NAMES[word];
    }
    // One that is a button itself, as the toggles of the menu are, has its name already.
    if (icon !== around) icon.ariaHidden = "true";
}

function hideIconsIn(element) {
    element.querySelectorAll(".material-symbols-outlined:not([aria-hidden])").forEach(hideIcon);
}

document.addEventListener("DOMContentLoaded", () => {
    hideIconsIn(document);
    // Menus and rows that appear later.
    new MutationObserver((changes) => {
        for (const change of changes) for (const node of change.addedNodes) if (node instanceof Element) hideIconsIn(node.parentElement ?? node);
    }).observe(document.body, { childList: true, subtree: true });
});
