// What temporal.ts calls of Temporal's SDK, so that it compiles here: the SDK's own packages are a quarter of a gigabyte.
// `npm install @temporalio/client @temporalio/worker @temporalio/workflow @temporalio/activity`, and remove this file.

declare module "@temporalio/client" {
  export class Connection {
    static connect(options: { readonly address: string }): Promise<Connection>;
    close(): Promise<void>;
  }
  export class Client {
    constructor(options: { readonly connection: Connection });
    readonly connection: Connection;
    readonly workflow: {
      signalWithStart(
        workflowType: string,
        options: {
          readonly workflowId: string;
          readonly taskQueue: string;
          readonly args: readonly unknown[];
          readonly signal: string;
        },
      ): Promise<unknown>;
    };
  }
}

declare module "@temporalio/worker" {
  export class NativeConnection {
    static connect(options: { readonly address: string }): Promise<NativeConnection>;
    close(): Promise<void>;
  }
  export class Worker {
    static create(options: {
      readonly connection: NativeConnection;
      readonly taskQueue: string;
      readonly workflowsPath: string;
      readonly activities: object;
      readonly maxConcurrentActivityTaskExecutions: number;
    }): Promise<Worker>;
    run(): Promise<void>;
    shutdown(): void;
  }
}

declare module "@temporalio/activity" {
  export const Context: { readonly current: () => { readonly heartbeat: () => void } };
}

declare module "@temporalio/workflow" {
  // eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- the SDK's own signature
  export function proxyActivities<Activities>(options: {
    readonly startToCloseTimeout: string;
    readonly heartbeatTimeout: string;
  }): Activities;
  export function defineSignal(name: string): { readonly name: string };
  export function setHandler(signal: { readonly name: string }, handler: () => void): void;
  export function continueAsNew(...args: readonly unknown[]): Promise<never>;
  export function workflowInfo(): { readonly historyLength: number };
}
