// Buttons that copy what stands in their data-copy. Without a script they are not shown.
for (const button of document.querySelectorAll("[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
        const said = button.textContent;
        try {
            await navigator.clipboard.writeText(button.dataset.copy);
            button.textContent = "Copied";
        } catch {
            // Browsers allow it on https and localhost only.
            button.textContent = "Select it and copy by hand";
        }
        setTimeout(() => { button.textContent = said; }, 2000);
    });
}
