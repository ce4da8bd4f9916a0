// SPDX-License-Identifier: MIT
// fetch.js http|fetch URL: the body on standard output.
const [how, url] = process.argv.slice(2);
const fail = e => { console.error(e.cause || e); process.exitCode = 1; };
if (how === 'http')
    require('http').get(url, r => r.pipe(process.stdout)).on('error', fail);
else
    fetch(url).then(r => r.arrayBuffer()).then(b => process.stdout.write(Buffer.from(b))).catch(fail);
