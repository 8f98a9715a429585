// Lets Node load ES modules that were written for a bundler: `./folder` for `./folder/index.js`, `./file` for
// `./file.js`. Only what Node itself could not resolve is tried again.
import { statSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';

const isFile = (path) => statSync(path, { throwIfNoEntry: false })?.isFile();

export async function resolve(specifier, context, next) {
	try {
		return await next(specifier, context);
	} catch (error) {
		const path = error.url && fileURLToPath(error.url);
		const found = path && [`${path}.js`, `${path}/index.js`].find(isFile);
		if (!found) {
			throw error;
		}
		return next(pathToFileURL(found).href, context);
	}
}
