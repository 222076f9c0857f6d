// Draws each chart of the page from the table below it, in the colours of the theme, anew when that changes.

const drawn = new Map();
const root = document.documentElement;

function colour(name) {
    return getComputedStyle(root).getPropertyValue(`--chart-${name}`).trim();
}

function read(figure) {
    const table = figure.querySelector("table");
    const heads = [...table.tHead.rows[0].cells].slice(1);
    const rows = [...table.tBodies[0].rows];
    return {
        labels: rows.map((row) => row.cells[0].textContent),
        series: heads.map((head, number) => ({
            name: head.textContent,
            colour: head.dataset.colour,
            cells: rows.map((row) => row.cells[number + 1]),
        })),
    };
}

function dataset(one, kind) {
    const ink = colour(one.colour);
    return {
        label: one.name,
        data: one.cells.map((cell) => (cell.dataset.value === "" ? null : Number(cell.dataset.value))),
        backgroundColor: ink,
        borderColor: ink,
        borderWidth: kind === "line" ? 2 : 0,
        borderRadius: 2,
        maxBarThickness: 28,
        pointRadius: 2,
        spanGaps: true,
        tension: 0.25,
    };
}

function options(kind, series) {
    const quiet = colour("quiet");
    const stacked = kind === "bar";
    return {
        animation: false,
        maintainAspectRatio: false,
        interaction: { mode: "index", intersect: false },
        scales: {
            x: { stacked, grid: { display: false }, ticks: { color: quiet, maxRotation: 0, autoSkipPadding: 12 } },
            y: {
                stacked,
                beginAtZero: true,
                border: { display: false },
                grid: { color: colour("line") },
                ticks: { color: quiet, maxTicksLimit: 5 },
            },
        },
        plugins: {
            legend: { display: series.length > 1, align: "start", labels: { color: quiet, boxWidth: 12, boxHeight: 12 } },
            tooltip: {
                callbacks: { label: (item) => `${item.dataset.label}: ${series[item.datasetIndex].cells[item.dataIndex].textContent}` },
            },
        },
    };
}

function draw(figure) {
    const canvas = figure.querySelector("canvas");
    if (!canvas) return;
    const { labels, series } = read(figure);
    const kind = figure.dataset.chart;
    drawn.get(figure)?.destroy();
    const data = { labels, datasets: series.map((one) => dataset(one, kind)) };
    drawn.set(figure, new Chart(canvas, { type: kind, data, options: options(kind, series) }));
}

function drawAll() {
    document.querySelectorAll("[data-chart]").forEach(draw);
}

drawAll();
new MutationObserver(drawAll).observe(root, { attributes: true, attributeFilter: ["class"] });
