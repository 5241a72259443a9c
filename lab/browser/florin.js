// A Florin of the tests' own, with its servers: `florin dev`, and the tools around it.

import { spawn } from 'node:child_process';
import { readFile, mkdtemp, rm } from 'node:fs/promises';
import { watch } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const program = process.env.FLORIN ?? '../../target/debug/florin';

export class Florin {
  static async start() {
    const folder = await mkdtemp(join(tmpdir(), 'florin-browser-'));
    const readyFile = join(folder, 'ready.json');
    const child = spawn(program, ['dev', '--ready-file', readyFile], { stdio: ['ignore', 'ignore', 'pipe'] });
    let log = '';
    child.stderr.on('data', (text) => { log = (log + text).slice(-20_000); });
    const ended = new Promise((resolve) => child.once('exit', resolve));
    const died = ended.then((code) => { throw new Error(`florin dev ended with ${code}:\n${log}`); });
    died.catch(() => {});
    const watcher = watch(folder);
    const appeared = new Promise((resolve) => watcher.on('change', (_, name) => name === 'ready.json' && resolve()));
    await Promise.race([appeared, died]);
    watcher.close();
    const access = JSON.parse(await readFile(readyFile, 'utf8'));
    return new Florin({ child, ended, folder, ...access });
  }

  constructor(parts) { Object.assign(this, parts); }

  // Over HTTP, as the operator.
  async post(path, body) {
    const headers = { authorization: `Bearer ${this.operator_key}`, 'content-type': 'application/json' };
    const response = await fetch(this.http_url + path, { method: 'POST', headers, body: JSON.stringify(body) });
    const answer = await response.json();
    if (!response.ok) throw new Error(`${path}: ${JSON.stringify(answer)}`);
    return answer.body ?? answer;
  }

  // A tool of the command line, in the background.
  run(...args) {
    const urls = ['--amqp-url', this.amqp_url, ...(args[0] === 'bench' ? ['--database-url', this.database_url] : [])];
    const child = spawn(program, [...args, ...urls], { stdio: 'ignore' });
    return { child, ended: new Promise((resolve) => child.once('exit', resolve)) };
  }

  async stop() {
    this.child.kill('SIGTERM');
    await this.ended;
    await rm(this.folder, { recursive: true });
  }
}
