// Asks the validators of npm @rocket.chat/rest-typings what a server of its version takes as a request.
import { readFileSync } from 'node:fs';
import { register } from 'node:module';
import { pathToFileURL } from 'node:url';

import { load, run } from './driver.mjs';

register('./esm_hook.mjs', import.meta.url);
const typings = await import(pathToFileURL(load.resolve('@rocket.chat/rest-typings')));

await run({
	/** The names of all validators. */
	names: () => Object.keys(typings).filter((name) => typeof typings[name] === 'function' && 'schema' in typings[name]),
	/** What a validator finds wrong with a body or a query: nothing, if the request is good. */
	check({ validator, value }) {
		const validate = typings[validator];
		return validate(value) ? [] : validate.errors.map(({ instancePath, message, params }) => ({ instancePath, message, params }));
	},
	/** The types of all streams, as the client's own package declares them. */
	streams: () => readFileSync(load.resolve('@rocket.chat/ddp-client').replace(/index\.js$/, 'types/streams.d.ts'), 'utf8'),
});
