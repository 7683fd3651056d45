import react from '@vitejs/plugin-react';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { brotliCompress, constants, gzip } from 'node:zlib';
import { defineConfig, type Plugin } from 'vite';

const OUT = 'dist/pages';
/** Below this nothing is gained. */
const WORTH_COMPRESSING = 1024;

/** Puts a brotli and a gzip copy beside each text, so that the server never compresses anything itself. */
function compressed(): Plugin {
  return {
    name: 'compressed',
    apply: 'build',
    async closeBundle() {
      const files = await readdir(OUT, { recursive: true, withFileTypes: true });
      const texts = files.filter((file) => file.isFile() && /\.(html|js|css|svg|json|txt)$/.test(file.name));
      for (const file of texts) {
        const path = join(file.parentPath, file.name);
        const bytes = await readFile(path);
        if (bytes.length < WORTH_COMPRESSING) continue;
        const quality = { params: { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY } };
        await writeFile(`${path}.br`, await promisify(brotliCompress)(bytes, quality));
        await writeFile(`${path}.gz`, await promisify(gzip)(bytes, { level: 9 }));
      }
    },
  };
}

const PERMISSIVE = ['MIT', 'ISC', 'BSD-2-Clause', 'BSD-3-Clause', '0BSD', 'Apache-2.0'];

/** Hands the licences of what is compiled in out with it, and takes in nothing whose licence does not allow it. */
function licences(): Plugin {
  return {
    name: 'licences',
    apply: 'build',
    async generateBundle() {
      const found = new Set<string>();
      for (const id of this.getModuleIds()) {
        const folder = /^(.*\/node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(id.replaceAll('\0', ''))?.[1];
        if (folder) found.add(folder);
      }
      const texts = await Promise.all([...found].sort().map(licence));
      this.emitFile({ type: 'asset', fileName: 'licences.txt', source: `${texts.join(`\n\n${'-'.repeat(72)}\n\n`)}\n` });
    },
  };
}

async function licence(folder: string): Promise<string> {
  const about = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as Record<'name' | 'version' | 'license', string>;
  if (!PERMISSIVE.includes(about.license)) throw new Error(`${about.name} has the licence ${about.license}`);
  const file = (await readdir(folder)).find((name) => /^licen[cs]e/i.test(name));
  const text = file ? await readFile(join(folder, file), 'utf8') : '';
  return `${about.name} ${about.version} (${about.license})\n\n${text.trim()}`;
}

/** The server that the pages of `npm run dev` speak to. */
const server = process.env.BAILIWICK_SERVER ?? 'http://127.0.0.1:7700';

const proxy = Object.fromEntries(['/v1', '/bailiwick'].map((path) => [path, { target: server, changeOrigin: false }]));

export default defineConfig({
  plugins: [react(), licences(), compressed()],
  build: {
    outDir: OUT,
    emptyOutDir: true,
    target: 'es2022',
    // Nothing may stand in the document itself: the policy of content forbids it.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    sourcemap: false,
  },
  server: { proxy },
  preview: { proxy },
});
