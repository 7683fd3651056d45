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
      const texts = files.filter((file) => file.isFile() && /\.(html|js|css|svg|json)$/.test(file.name));
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

/** The server that the pages of `npm run dev` speak to. */
const server = process.env.BAILIWICK_SERVER ?? 'http://127.0.0.1:7700';

const proxy = Object.fromEntries(['/v1', '/bailiwick'].map((path) => [path, { target: server, changeOrigin: false }]));

export default defineConfig({
  plugins: [react(), compressed()],
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
