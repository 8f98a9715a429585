// Reads one step per line of JSON, `{"do": …, "with": …}`, and answers each with one line: `{"value": …}` or
// `{"error": …}`. `saw` prints what reached the client meanwhile. Ends when the input ends.
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

/** `require`, as if from the folder where the packages are installed. */
export const load = createRequire(`${process.env.ACG_NODE_MODULES}/driver.cjs`);

const print = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

export const saw = (what) => print({ saw: what });

/** What an error says: a refusal of DDP as it is, a REST answer with its status and body. */
async function described(error) {
	if (error instanceof Response) {
		return { status: error.status, body: await error.json().catch(() => null) };
	}
	return error instanceof Error ? { message: String(error) } : (error ?? { message: 'no reason' });
}

export async function run(steps) {
	for await (const line of createInterface({ input: process.stdin })) {
		const { do: step, with: args } = JSON.parse(line);
		try {
			print({ value: (await steps[step](args)) ?? null });
		} catch (error) {
			print({ error: await described(error) });
		}
	}
	process.exit(0);
}
