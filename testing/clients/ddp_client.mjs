// Drives npm @rocket.chat/ddp-client, the client that the makers of the server publish.
import { createHash } from 'node:crypto';

import { load, run, saw } from './driver.mjs';

// The package takes the WebSocket of the browser; Node has one from 22 on.
globalThis.WebSocket = load('ws').WebSocket;
const { DDPSDK } = load('@rocket.chat/ddp-client');

let sdk;

await run({
	// It adds /websocket to the address itself.
	async connect({ url }) {
		sdk = DDPSDK.create(url, { retryCount: 50, retryTime: 20 });
		sdk.connection.on('connection', (status) => saw({ connection: status }));
		await sdk.connection.connect();
		return { session: sdk.connection.session };
	},
	async login({ user, password }) {
		await sdk.account.loginWithPassword(user, createHash('sha256').update(password).digest('hex'));
		return sdk.account.user;
	},
	async resume({ token }) {
		await sdk.account.loginWithToken(token);
		return sdk.account.user;
	},
	async stream({ name, key }) {
		await sdk.stream(name, key, (...args) => saw({ stream: name, key, args })).ready();
	},
	call: ({ method, params }) => sdk.call(method, ...params),
	get: ({ path, query }) => sdk.rest.get(`/v1/${path}`, query),
	post: ({ path, body }) => sdk.rest.post(`/v1/${path}`, body),
	// A form has to be made beforehand: of an object with a file in it, it makes an empty one. Fields come first.
	upload({ path, name, type, text, fields }) {
		const form = new FormData();
		Object.entries(fields).forEach(([key, value]) => form.append(key, value));
		form.append('file', new File([text], name, { type }));
		return sdk.rest.post(`/v1/${path}`, form);
	},
	logout: () => sdk.account.logout(),
});
