// The status page in Chromium: numbers for everybody, details for who signs in, both schemes, a phone, live updates, the end
// of a session. Prints what a person would have seen; pictures go to the folder.
// usage: node status.mjs CHROMIUM URL TOKEN FOLDER SESSION
// Needs: session SESSION with an upload that goes on, and beside it one that is idle.

import assert from "node:assert";
import puppeteer from "puppeteer-core";

const [executablePath, url, token, folder, session] = process.argv.slice(2);
const browser = await puppeteer.launch({
    executablePath,
    // Root has no sandbox; nothing but the gateway is asked for.
    args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-component-update",
        "--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"],
});
try {
    const page = await browser.newPage();
    const complaints = [];
    page.on("console", (message) => complaints.push(`console: ${message.text()}`));
    page.on("pageerror", (error) => complaints.push(`error: ${error.message}`));
    page.on("requestfailed", (request) => {
        // Streams end when a page is left.
        if (!request.url().endsWith("/status/events")) complaints.push(`failed: ${request.url()}`);
    });
    page.on("request", (request) => {
        if (!request.url().startsWith(url) && !request.url().startsWith("data:")) complaints.push(`dialled ${request.url()}`);
    });
    page.on("dialog", (dialog) => dialog.accept());
    const text = () => page.$eval("body", (body) => body.innerText);
    const has = (wanted) => page.waitForFunction((wanted) => document.body.innerText.includes(wanted), {}, wanted);

    await page.goto(`${url}/status`);
    await has("Live");
    assert(!(await text()).includes("demo"), "details before signing in");
    await page.type("#token", "wrong-wrong-wrong-wrong");
    await Promise.all([page.waitForNavigation(), page.click("form button")]);
    await has("That is not the token.");
    await page.screenshot({ path: `${folder}/signed-out.png` });
    await page.type("#token", token);
    await Promise.all([page.waitForNavigation(), page.click("form button")]);
    await has("demo");
    assert.strictEqual(await page.evaluate(() => document.cookie), "", "the cookie is not for scripts");

    // The same element has another value later: the page was changed in place.
    const row = await page.waitForSelector(`#transfer-${session} progress`);
    const value = () => row.evaluate((progress) => progress.isConnected && progress.value);
    const first = await value();
    await page.waitForFunction((row, first) => row.isConnected && row.value > first, {}, row, first);
    const later = await value();
    assert(later > first && later < 100, `${first} % then ${later} %`);

    for (const [scheme, ink] of [["light", "rgb(28, 35, 48)"], ["dark", "rgb(228, 232, 239)"]]) {
        await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
        assert.strictEqual(await page.$eval("body", (body) => getComputedStyle(body).color), ink, scheme);
        for (const [device, width] of [["desk", 1280], ["phone", 390]]) {
            await page.setViewport({ width, height: 800, deviceScaleFactor: 1 });
            const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
            assert(overflow <= 0, `${scheme} ${device} is ${overflow} pixels too wide`);
            await page.screenshot({ path: `${folder}/${device}-${scheme}.png`, fullPage: true });
        }
    }
    await page.setViewport({ width: 1280, height: 800 });
    await page.click(`#session-${session} button`);
    await page.waitForFunction((id) => !document.getElementById(id), {}, `session-${session}`);
    await page.waitForFunction((id) => !document.getElementById(id), {}, `transfer-${session}`);
    await has("aborted");
    await page.click("button[data-path=reload]");
    await has("reloaded");
    await Promise.all([page.waitForNavigation(), page.$$eval("form button", (buttons) => buttons.at(-1).click())]);
    await has("Admin token");
    assert(!(await text()).includes("demo"), "details after signing out");
    assert.deepStrictEqual(complaints, []);
    console.log("seen");
} finally {
    await browser.close();
}
