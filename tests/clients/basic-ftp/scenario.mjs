// One scenario with basic-ftp.
// usage: node scenario.mjs HOST PORT plain|explicit|implicit SENT GOT

import assert from "node:assert";
import { Client } from "basic-ftp";

const [host, port, security, sent, got] = process.argv.slice(2);
const client = new Client(20_000);
const secure = { plain: false, explicit: true, implicit: "implicit" }[security];
// Whose certificate it is, is not what this is about.
const secureOptions = { rejectUnauthorized: false };
await client.access({ host, port: Number(port), user: "demo", password: "secret", secure, secureOptions });
try {
    await client.ensureDir("dir");
    await client.uploadFrom(sent, "file");
    const listed = await client.list();
    assert.deepEqual(listed.map((entry) => entry.name), ["file"]);
    await client.rename("file", "renamed");
    await client.downloadTo(got, "renamed");
    assert.equal(await client.size("renamed"), listed[0].size);
    assert.ok(await client.lastMod("renamed"));
    await client.cd("/");
    await client.removeDir("dir");
    assert.deepEqual(await client.list(), []);
} finally {
    client.close();
}
