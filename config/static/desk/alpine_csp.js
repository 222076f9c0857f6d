/* unfold's pages under a Content-Security-Policy without 'unsafe-eval'.

   Alpine's CSP build reads the pages' expressions with a parser of its own: one expression at a time, no globals. So what
   unfold's expressions take from the window is put into the data of the outermost element here, and those few that are
   several statements get a name. Loaded before Alpine, which says `alpine:init` before it looks at the page. */

"use strict";

const deskScope = {
    localStorage: {
        getItem: (name) => window.localStorage.getItem(name),
        setItem: (name, value) => window.localStorage.setItem(name, value),
    },
    window: {
        location: {
            get pathname() { return window.location.pathname; },
            get search() { return window.location.search; },
        },
    },
    getCurrentTab: () => getCurrentTab(),
    moveRecords: (event) => moveRecords(event),
    sortRecords: (event) => sortRecords(event),
    toggleSidebar() {
        this.sidebarDesktopOpen = !this.sidebarDesktopOpen;
        window.localStorage.setItem("sidebarDesktopOpen", this.sidebarDesktopOpen ? "1" : "0");
    },
};

function renameExpressions() {
    const body = document.body;
    if (body.getAttribute("x-init")?.includes("sidebarDesktopOpen")) {
        const hasTabs = body.getAttribute("x-data").includes("activeTab");
        body.setAttribute("x-init", hasTabs ? "activeTab = getCurrentTab() || activeTab" : "activeTab = ''");
    }
    for (const toggle of document.querySelectorAll("span[x-on\\:click*='sidebarDesktopOpen'], span[x-on\\:click*='sidebarMobileOpen']")) {
        const name = toggle.getAttribute("x-on:click").includes("Desktop") ? "toggleSidebar()" : "sidebarMobileOpen = !sidebarMobileOpen";
        // A span that is clicked: give the keyboard the same.
        const given = { "x-on:click": name, "x-on:keydown.enter": name, "x-on:keydown.space.prevent": name, role: "button", tabindex: "0", "aria-label": "Menu" };
        for (const [attribute, value] of Object.entries(given)) toggle.setAttribute(attribute, value);
    }
}

document.addEventListener("alpine:init", () => {
    Alpine.data("theme", (...given) => Object.assign(theme(...given), deskScope));
    Alpine.data("searchForm", () => searchForm());
    Alpine.data("searchDropdown", () => searchDropdown());
    Alpine.data("searchCommand", () => searchCommand());
    renameExpressions();
});
