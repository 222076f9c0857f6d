// Asks how far a report is, once a second, until its file is there or it has failed.

const place = document.querySelector("[data-report-progress]");
const says = place.querySelector("[data-says]");
const bar = place.querySelector("[role=progressbar]");
const download = place.querySelector("[data-download]");

function show(report) {
    if (says.textContent !== report.says) says.textContent = report.says;
    bar.setAttribute("aria-valuenow", report.progress);
    bar.firstElementChild.style.width = `${report.progress}%`;
    if (report.url) {
        download.href = report.url;
        download.hidden = false;
    }
}

async function ask() {
    try {
        const answer = await fetch(place.dataset.reportProgress, { headers: { accept: "application/json" } });
        if (!answer.ok) throw new Error(answer.statusText);
        const report = await answer.json();
        show(report);
        if (report.over) return;
    } catch {
        says.textContent = "The connection is gone for the moment. The report is made all the same.";
    }
    setTimeout(ask, 1000);
}

if (place.dataset.over === "false") setTimeout(ask, 500);
