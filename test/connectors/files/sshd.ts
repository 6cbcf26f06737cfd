import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo, connect } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import ssh2, { type Client, type ConnectConfig, type SFTPWrapper } from "ssh2";

/** Where Debian's openssh-server puts it. */
const program = "/usr/sbin/sshd";

/** Why there is none here; undefined: there is. */
export const whyNoSshd = existsSync(program) ? undefined : `${program} is missing: apt-get install openssh-server`;

/** OpenSSH's server, on a port of its own, with keys of its own, for the user that runs the tests. */
export class Sshd {
  /** Where files may be put. */
  readonly folder: string;
  readonly port: number;
  readonly #key: string;
  readonly #clients = new Set<Client>();
  #process: ChildProcess | undefined;

  private constructor(folder: string, port: number, key: string) {
    this.folder = folder;
    this.port = port;
    this.#key = key;
  }

  static async start(): Promise<Sshd> {
    const folder = await mkdtemp(join(tmpdir(), "poundlock-sshd-"));
    const [own, host] = [ssh2.utils.generateKeyPairSync("ed25519"), ssh2.utils.generateKeyPairSync("ed25519")];
    await writeFile(join(folder, "authorized"), own.public, { mode: 0o600 });
    await writeFile(join(folder, "host"), host.private, { mode: 0o600 });
    if (process.getuid?.() === 0) await mkdir("/run/sshd", { recursive: true, mode: 0o755 });
    const sshd = new Sshd(folder, await freePort(), own.private);
    await sshd.restart();
    return sshd;
  }

  async restart(): Promise<void> {
    const settings = {
      ListenAddress: `127.0.0.1:${this.port}`,
      HostKey: join(this.folder, "host"),
      AuthorizedKeysFile: join(this.folder, "authorized"),
      PidFile: "none",
      StrictModes: "no",
      UsePAM: "no",
      PermitRootLogin: "prohibit-password",
      Subsystem: "sftp internal-sftp",
    };
    const args = Object.entries(settings).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
    this.#process = spawn(program, ["-D", "-e", "-f", "/dev/null", ...args], { stdio: "ignore" });
    for (let tries = 0; tries < 1_200; tries++) {
      if (await isOpen(this.port)) return;
      await pause(25);
    }
    throw new Error("sshd does not start");
  }

  /** A session, as a host would make it. */
  connect = (how: ConnectConfig = {}): Promise<SFTPWrapper> =>
    new Promise((resolve, reject) => {
      const client = new ssh2.Client();
      this.#clients.add(client);
      client.on("ready", () => {
        client.sftp((error, sftp) => {
          if (error) {
            reject(error);
            return;
          }
          sftp.once("close", () => client.end());
          resolve(sftp);
        });
      });
      client.on("error", reject);
      const { username } = userInfo();
      client.connect({ host: "127.0.0.1", port: this.port, username, privateKey: this.#key, ...how });
    });

  /** Ends all sessions, as a network that is cut does. */
  cut(): void {
    for (const client of this.#clients) client.destroy();
    this.#clients.clear();
  }

  async kill(): Promise<void> {
    const running = this.#process;
    if (running?.exitCode !== null || running.signalCode !== null) return;
    const ended = once(running, "exit");
    running.kill("SIGKILL");
    await ended;
  }

  async close(): Promise<void> {
    this.cut();
    await this.kill();
    await rm(this.folder, { recursive: true, force: true });
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => resolve(true));
    socket.once("error", () => resolve(false)).once("connect", () => socket.destroy());
  });
}
